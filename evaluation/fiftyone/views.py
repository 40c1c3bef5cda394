"""How the App shows a dataset: which overlays are on, their colours, and the saved views."""

from typing import Any

from evaluation.fiftyone.group import COMPOSITE, HELD_OUT, TRAIN
from evaluation.fiftyone.library import fiftyone
from evaluation.fiftyone.samples import BOXES, COPY, HEATMAPS, MASKS
from pipelines.library.exclusions import REASONS

_SHOWN = ("visible", "imperfect", BOXES)
"""Overlays that are on at first. Those of maps would hide the picture; a click shows them."""
_COLOURS = {"visible": "#00c8ff", "imperfect": "#ff2878", "edges": "#ffffff", "regions": "#ffb000", BOXES: "#7cff4f"}
_LAYER_COLOURS = {"visible": ("#00c8ff", "#0072ff", "#6a4dff"), "imperfect": ("#ff2878", "#ff7a28", "#ffd028")}
_SORTED = {
    "difficulty": ["split", "difficulty", "occluded_fraction", "num_layers", "semi_transparent", "border_contact"],
    "quality": ["mask_iou", "mask_error", "uniqueness", "near_duplicate_of", "num_failures", "failed_methods"],
    "provenance": ["key", "shard", "asset", "assets", "source", "sources", "licence", "licences", "category", "prompt"],
}
"""Groups of the sidebar, in order."""
_REGIONS = ("_whole", "_mask", "_ring", "_outside", "_hidden", "_iou", "_mse")
_MAIN_FIGURE = "adapter_background_psnr_mask"


def show(dataset: Any) -> list[str]:
    """Set the App up for a dataset and save its views; returns the views' names."""
    fo = fiftyone()
    dataset.mask_targets = {name: {i + 1: f"layer {i}" for i in range(3)} for name in ("visible", "imperfect")}
    dataset.mask_targets |= {"edges": {1: "edge"}}
    config = dataset.app_config
    config.active_fields = fo.ActiveFields(paths=["tags", *_SHOWN])
    config.color_scheme = fo.ColorScheme(
        color_by="field",
        opacity=0.35,
        fields=[{"path": path, "fieldColor": colour} | _targets(path) for path, colour in _COLOURS.items()],
        colorscales=[{"path": path, "name": "inferno"} for path in HEATMAPS],
    )
    config.sidebar_groups = _sidebar(fo, dataset)
    dataset.group_slice = COMPOSITE
    dataset.save()
    return _save_views(dataset)


def _sidebar(fo: Any, dataset: Any) -> list[Any]:
    """Fields of the sidebar in groups: overlays first, then fields to sort by, then the rest, folded up."""
    top = [*MASKS, BOXES, *HEATMAPS]
    named = {"tags": [], "masks, boxes and maps": top, **_SORTED}
    taken = {name for names in named.values() for name in names}
    fields = [name for name in dataset.get_field_schema() if name not in taken and name not in ("tags", "group", COPY)]
    figures = [name for name in fields if name.endswith(_REGIONS)]
    named |= {"scores": figures, "other": [name for name in fields if name not in figures]}
    return [
        fo.SidebarGroupDocument(name=name, paths=paths, expanded=name not in ("scores", "other"))
        for name, paths in named.items()
    ]


def _targets(path: str) -> dict[str, Any]:
    colours = _LAYER_COLOURS.get(path, ())
    return {"maskTargetsColors": [{"intTarget": i + 1, "color": colour} for i, colour in enumerate(colours)]}


def _save_views(dataset: Any) -> list[str]:
    from fiftyone import ViewField as F

    every = dataset.select_group_slices(_allow_mixed=True) if len(dataset) else dataset
    training, cases = dataset.match(F("split") == TRAIN), dataset.match(F("split") == HELD_OUT)
    views = {
        "training": (training, "Scenes that models are trained on."),
        "held out": (cases, "Cases that methods are judged on, with each method's output."),
        "most occluded": (training.sort_by("occluded_fraction", reverse=True), "By the scene's most hidden layer."),
        "worst masks": (training.sort_by("mask_iou"), "By the lowest IoU of an imperfect mask with its visible mask."),
        "semi-transparent": (dataset.match(F("semi_transparent") == True), "Glass and veils."),  # noqa: E712
        "evaluation failures": (
            cases.match(F("num_failures") > 0).sort_by("num_failures", reverse=True),
            "Cases for which a method had no output.",
        ),
        "near duplicates": (dataset.match(F("near_duplicate_of") != None), "Composites that repeat another."),  # noqa: E711
        "tagged": (every.match_tags(list(REASONS)), "Pictures whose assets `decoupage inspect --apply` excludes."),
    }
    if dataset.has_sample_field(_MAIN_FIGURE):
        views["worst of the adapter"] = (cases.exists(_MAIN_FIGURE).sort_by(_MAIN_FIGURE), "By PSNR in the mask.")
    sources = dataset.select_group_slices(COMPOSITE).distinct("sources") if len(dataset) else []
    for source in sources:
        found = training.match(F("sources").contains(source))
        views[f"source {source}"] = (found, f"Scenes with a layer from {source}.")
    for stale in set(dataset.list_saved_views()) - set(views):
        if stale.startswith("source "):
            dataset.delete_saved_view(stale)
    for name, (view, description) in views.items():
        dataset.save_view(name, view, description=description, overwrite=True)
    return list(views)
