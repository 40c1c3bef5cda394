"""The rows of the table of ablations: their names, which profiles use too, and what the paper reports for each.

What a row changes in a recipe is in `training.ablations`; a test holds the names of both together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

FULL = "paper"
"""The row that the others are compared with."""
SEEDS = (FULL, "seed_1", "seed_2")
"""Rows that differ by the seed of their training alone; all but the first are ours."""
NOT_COMPARABLE = (
    "the paper's own figures, on 526 pictures of MULAN's test sets that it does not list, by its own protocol: they "
    "are not comparable with ours"
)
PAPER_COLUMNS = {"psnr": "PSNR", "ssim": "SSIM", "lpips": "LPIPS", "fid": "FID"}


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: name of the ablation, as in `evaluation.ablations.rows` of a profile.
        title: what it is, for a person; ranks are those of the paper.
        paper: the paper's figures of the background (arXiv 2511.20996, Table 3; without generated foregrounds: its
            CVPR version); figures that are not known are absent.
    """

    name: str
    title: str
    paper: Mapping[str, float] = field(default_factory=dict)


def _figures(psnr: float, ssim: float, lpips: float, fid: float) -> dict[str, float]:
    return {"psnr": psnr, "ssim": ssim, "lpips": lpips, "fid": fid}


ROWS: tuple[Row, ...] = (
    Row(FULL, "the full recipe", _figures(27.30, 0.93, 0.08, 25.97)),
    Row("rank_128", "half the rank (the paper: 128)", _figures(26.34, 0.92, 0.09, 33.92)),
    Row("rank_1024", "four times the rank (the paper: 1024)", _figures(27.15, 0.92, 0.09, 27.32)),
    Row("no_foreground_context", "without the foreground's context", _figures(27.04, 0.92, 0.08, 27.49)),
    Row("no_fused_context", "without the fused maps", _figures(27.16, 0.93, 0.08, 28.02)),
    Row("no_generated_foregrounds", "without generated foregrounds", {"psnr": 27.18, "fid": 27.11}),
    Row("kontext_base", "Kontext as the base", _figures(26.22, 0.92, 0.09, 36.14)),
    Row("no_edges", "without edges"),
    Row("no_segmentation", "without segmentation"),
    Row("no_depth", "without depth"),
    Row("seed_1", "the full recipe, another seed"),
    Row("seed_2", "the full recipe, a third seed"),
)


ROW_NAMES = tuple(row.name for row in ROWS)
"""The names of all rows: the paper's ten ablations in its order, then the seeds."""
PAPER_ROWS = tuple(name for name in ROW_NAMES if name not in SEEDS[1:])
"""The names of the paper's ten ablations."""


def find_row(name: str) -> Row:
    """The row with a name. Raises KeyError where there is none."""
    return {row.name: row for row in ROWS}[name]
