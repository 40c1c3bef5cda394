"""Plots of the statistics as PNG files, drawn by matplotlib's Agg canvas: no window, no global state."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pipelines.config import OcclusionConfig, ScenesConfig
from pipelines.dataset.statistics import Counts, Statistics
from pipelines.scenes.sharpness import log2_ratio

BLUE = "#3b6ea5"
LEVEL_COLOURS = {"none": "#9aa5b1", "light": "#7fb2d6", "medium": "#3b7cb3", "heavy": "#16416b"}
INK = "#2b2b2b"
MAX_BARS = 12
STYLE: Any = {
    "font.family": "DejaVu Sans",  # Comes with matplotlib, so every machine has it.
    "font.size": 9,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8a8a",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def draw_figures(statistics: Statistics, layers: pd.DataFrame, scenes: ScenesConfig) -> dict[str, bytes]:
    """All figures: file name -> PNG.

    Args:
        statistics: the numbers to draw.
        layers: the table of `statistics.read_layers`, whose values the quantiles summarise.
        scenes: the target ranges of the drawn levels, and the limits of enlargement.
    """
    return {
        "overview.png": overview(statistics),
        "mask_iou.png": mask_iou(layers),
        "occlusion.png": occluded_fraction(layers, scenes.occlusion),
        "sharpness.png": sharpness(layers, scenes),
    }


def overview(statistics: Statistics) -> bytes:
    """Twelve small bar charts of scenes, layers, masks, rejected draws and drops; all bars have the same thickness."""
    s = statistics
    traits = {"touches the border": s.border_contact_share, "semi-transparent": s.semi_transparent_share}
    traits |= {
        f"{name} shape": count / max(s.num_measured, 1) for name, count in s.completeness.items() if name != "unknown"
    }
    licences = {name: sum(counts.values()) for name, counts in s.licences.items()}
    rows = [
        [
            _Panel("Layers per scene", "scenes", s.scenes_by_num_layers),
            _Panel("Difficulty", "scenes", s.scenes_by_difficulty),
            _Panel("Source of backgrounds", "scenes", s.scenes_by_background_source),
        ],
        [
            _Panel("Source of foregrounds", "layers", s.foreground_sources),
            _Panel("Size class", "layers", s.size_classes),
            _Panel("Traits of layers", "layers", traits, is_share=True),
        ],
        [
            _Panel("Occlusion as drawn", "layers", {name: x.num_layers for name, x in s.occlusion.items()}),
            _Panel("Licences", "foregrounds and backgrounds", licences),
            _Panel("Draws refused, by reason", "draws", s.rejected_draws),
        ],
        [
            _Panel("Categories", "layers", s.categories),
            _Panel("Kinds of mask error", "layers", {name: x.num_layers for name, x in s.mask_iou.items()}),
            _Panel("Items dropped, by stage", "items", _flat(s.drops)),
        ],
    ]
    slots = [max(3, *(len(panel.shown) for panel in row)) for row in rows]
    with _figure(13.0, 0.8 + sum(0.26 * num + 0.75 for num in slots)) as (figure, png):
        title = f"{s.num_scenes:,} scenes, {s.num_layers:,} layers, {s.num_shards:,} shards"
        figure.suptitle(title, fontsize=13, fontweight="bold")
        grid = figure.subplots(4, 3, height_ratios=[num + 0.6 for num in slots], squeeze=False)
        for row, row_axes, num in zip(rows, grid, slots, strict=True):
            for panel, axes in zip(row, row_axes, strict=True):
                _bars(axes, panel, num)
    return png[0]


def mask_iou(layers: pd.DataFrame) -> bytes:
    """Box plots of the IoU of imperfect and true visible mask, one per kind of error, the worst median at the top."""
    groups = {
        str(name): values.to_numpy(np.float64)
        for name, values in layers.groupby("mask_error", observed=True)["mask_iou"]
    }
    ranked = sorted(groups, key=lambda name: (-float(np.median(groups[name])), name))
    with _figure(7.5, 1.2 + 0.36 * len(ranked)) as (figure, png):
        axes = figure.subplots()
        axes.boxplot(
            [groups[name] for name in ranked],
            orientation="horizontal",
            whis=(5, 95),
            widths=0.6,
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": "#cfe0ee", "edgecolor": BLUE},
            medianprops={"color": "#16416b", "linewidth": 2},
            whiskerprops={"color": BLUE},
            capprops={"color": BLUE},
        )
        axes.set_yticks(range(1, len(ranked) + 1), [f"{name}  (n = {len(groups[name]):,})" for name in ranked])
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("IoU with the true visible mask (1 = the same)")
        axes.set_xlim(right=1.005)
        axes.set_title("Mask IoU by kind of error: quartiles, whiskers at 5 % and 95 %")
    return png[0]


def occluded_fraction(layers: pd.DataFrame, occlusion: OcclusionConfig) -> bytes:
    """Histogram of the measured occluded fraction, coloured by drawn level, over the levels' target ranges."""
    names = [name for name in LEVEL_COLOURS if (layers["occlusion_level"] == name).any()]
    values = [layers.loc[layers["occlusion_level"] == name, "occluded_fraction"].to_numpy() for name in names]
    with _figure(7.5, 4.4) as (figure, png):
        strip, axes = figure.subplots(2, 1, sharex=True, height_ratios=[1, 6])
        for name, colour in LEVEL_COLOURS.items():
            low, high = getattr(occlusion, name)
            strip.barh(0, high - low, left=low, color=colour, height=0.7)
            if high - low > 0.06:  # Narrower ranges have no room for their name; the legend has it.
                colour_of_text = "white" if name in ("medium", "heavy") else INK
                strip.text((low + high) / 2, 0, name, ha="center", va="center", color=colour_of_text)
        strip.set_yticks([])
        strip.grid(visible=False)
        for side in strip.spines.values():
            side.set_visible(False)
        strip.tick_params(bottom=False)
        strip.set_title("Target ranges of the drawn levels")
        labels = [f"drawn {name} (n = {len(group):,})" for name, group in zip(names, values, strict=True)]
        axes.hist(
            values,
            bins=np.linspace(0.0, 1.0, 41).tolist(),
            stacked=True,
            color=[LEVEL_COLOURS[name] for name in names],
            edgecolor="white",
            linewidth=0.4,
            label=labels,
        )
        # Most layers are not hidden at all; on a linear axis the others would not be visible.
        axes.set_yscale("symlog", linthresh=10)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_ylim(bottom=0)
        axes.set_xlim(0.0, 1.0)
        axes.set_title("Measured occluded fraction")
        axes.set_xlabel("share of the layer's area that the layers above hide")
        axes.set_ylabel("layers (linear to 10, then logarithmic)")
        axes.legend(frameon=False)
    return png[0]


def sharpness(layers: pd.DataFrame, scenes: ScenesConfig) -> bytes:
    """Histograms of the enlargement of cutouts and backgrounds, and of the layers' sharpness against surroundings."""
    measured = layers[["sharpness", "sharpness_around"]].dropna()
    ratios = [log2_ratio(*pair) for pair in measured.itertuples(index=False)]
    of_scenes = layers.loc[layers["layer"] == 0, "background_enlargement"]
    with _figure(12.0, 3.4) as (figure, png):
        factor, ratio = "factor (dashed: the limit)", "log2 (variance of the Laplacian inside / around)"
        for axes, values, limit, names in zip(
            figure.subplots(1, 3),
            (layers["scale"].to_numpy(), of_scenes.to_numpy(), np.array(ratios)),
            (scenes.size.max_enlargement, scenes.max_background_enlargement, 0.0),
            (
                ("Enlargement of cutouts", "layers", factor),
                ("Enlargement of backgrounds", "scenes", factor),
                ("Sharpness against surroundings", "layers", ratio),
            ),
            strict=True,
        ):
            factors = np.asarray(values, np.float64)
            axes.hist(factors, bins=40, color=BLUE, edgecolor="white", linewidth=0.4)
            axes.axvline(limit, color=INK, linewidth=1, linestyle="--")
            axes.set_title(names[0])
            axes.set_ylabel(f"{names[1]} (n = {factors.size:,})")
            axes.set_xlabel(names[2])
    return png[0]


@dataclass(frozen=True)
class _Panel:
    """One bar chart: counts of `unit`, or shares of it."""

    title: str
    unit: str
    values: Mapping[str, float]
    is_share: bool = False

    @property
    def shown(self) -> dict[str, float]:
        """The bars; those that do not fit are summed as `<n> others`."""
        if len(self.values) <= MAX_BARS:
            return dict(self.values)
        names = list(self.values)
        rest = sum(self.values[name] for name in names[MAX_BARS - 1 :])
        return {name: self.values[name] for name in names[: MAX_BARS - 1]} | {
            f"{len(names) - MAX_BARS + 1} others": rest
        }


def _bars(axes: Axes, panel: _Panel, slots: int) -> None:
    """Horizontal bars with their numbers, the first on top, in a panel with room for `slots` of them."""
    axes.set_title(panel.title)
    axes.set_xlabel(f"{'share' if panel.is_share else 'number'} of {panel.unit}")
    values = panel.shown
    if not any(values.values()):
        axes.text(0.02, 0.9, "none", va="top", transform=axes.transAxes, color="#8a8a8a")
        axes.set(xticks=[], yticks=[])
        return
    bars = axes.barh([_short(name) for name in values], list(values.values()), color=BLUE, height=0.7)
    number = "{:.0%}" if panel.is_share else "{:,.0f}"
    axes.bar_label(bars, [number.format(value) for value in values.values()], padding=3, fontsize=8)
    axes.set_ylim(slots - 0.4, -0.6)
    axes.set_xlim(0, max(values.values()) * 1.2)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=not panel.is_share))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0) if panel.is_share else "{x:,.0f}")


def _short(name: str, max_chars: int = 34) -> str:
    return name if len(name) <= max_chars else name[: max_chars - 3] + "..."


def _flat(drops: Mapping[str, Counts]) -> Counts:
    """Flatten stage -> reason -> number to `stage: reason` -> number, most frequent first."""
    flat = {f"{stage}: {reason}": number for stage, counts in drops.items() for reason, number in counts.items()}
    return dict(sorted(flat.items(), key=lambda item: (-item[1], item[0])))


@contextmanager
def _figure(width_in: float, height_in: float) -> Iterator[tuple[Figure, list[bytes]]]:
    """A figure in the common style; when the block ends, the list holds its PNG."""
    png: list[bytes] = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_in, height_in), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, png
        buffer = io.BytesIO()
        # Without matplotlib's version in the file, an upgrade that draws the same gives the same bytes.
        figure.savefig(buffer, format="png", metadata={"Software": None})
        png.append(buffer.getvalue())
