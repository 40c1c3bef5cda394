"""From which size on a difference can be seen: what pages, summaries and checks ask before they say better or worse.

An interval says whether a difference is there, not whether it matters: over thousands of images a hundredth of a
decibel is beyond doubt, and nobody sees it. The gate has margins of its own (`[evaluation.gate]`), and does not use
this. Names only; no metric is loaded.
"""

from evaluation.statistics import Interval, Seen

LEAST: dict[str, float] = {
    # 1.2 % of the error: down to 16 dB that is less than half of one of the 255 levels that a display has.
    "psnr": 0.1,
    # Half of the last digit of the tables that papers print, in hundredths.
    "ssim": 0.005,
    "lpips": 0.005,
    # Half of the last digit again, in thousandths.
    "kid": 0.0005,
    # Of an object 100 px across, its outline moved by an eighth of a pixel.
    "soft_iou": 0.005,
    # The same of an object that covers a tenth of the picture, where alpha is wrong by 1.
    "alpha_mse": 0.0005,
    # Half of one of the 255 levels.
    "colour_l1": 0.002,
    "premultiplied_l1": 0.002,
    "l1": 0.002,
}
"""Metric, without its region -> the least visible difference."""
LEAST_SHARES: dict[str, float] = {
    # Sums over a picture grow with it; 0.1 dB are this share of an error.
    "alpha_sad": 0.012,
    "alpha_grad": 0.012,
    "alpha_conn": 0.012,
}
"""Metric -> the least visible difference as a share of the other method's mean."""
NO_LEAST = frozenset({"fid"})
"""Has no interval, and so no verdict."""


def least_visible(metric: str, rival_mean: float | None = None) -> float:
    """The least difference by a metric that counts as visible.

    Args:
        metric: its name in `report.json`.
        rival_mean: mean of the method that is compared with, for metrics that are sums; None = any difference counts.
    """
    name = _without_region(metric)
    if name in LEAST_SHARES:
        return LEAST_SHARES[name] * abs(rival_mean or 0.0)
    return 0.0 if name in NO_LEAST else LEAST[name]


def seen(found: Interval, metric: str, higher_is_better: bool = True, rival_mean: float | None = None) -> Seen:
    """The interval's verdict, but `unseen` where the difference is there and too small to see."""
    verdict = found.verdict(higher_is_better)
    if verdict in ("better", "worse") and abs(found.mean) <= least_visible(metric, rival_mean):
        return "unseen"
    return verdict


def _without_region(metric: str) -> str:
    known = (*LEAST, *LEAST_SHARES, *NO_LEAST)
    return max((name for name in known if metric == name or metric.startswith(f"{name}_")), key=len)
