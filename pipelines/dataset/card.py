"""`dataset/README.md`: the data card, with the front matter that the Hugging Face Hub reads.

The text is in `card.md.jinja` beside this module, which computes the values in it.
Source of the front matter: https://huggingface.co/docs/hub/datasets-cards.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pipelines.commercial import uses
from pipelines.config import DataConfig
from pipelines.dataset.index import Asset
from pipelines.dataset.stand_ins import stand_ins
from pipelines.dataset.statistics import Statistics
from pipelines.foregrounds.gates import gates_recipe
from pipelines.library.leaks import LeakReport
from pipelines.licences.combined import combined_licence
from pipelines.licences.terms import binds_outputs, find_terms, hub_licences, why_not_commercial

_SIZES = (
    *((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")),
    *((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B")),
)
RECIPE_SECTIONS = (
    *("mulan", "cutouts", "generated", "gates", "backgrounds", "library", "scenes", "masks", "maps", "licences"),
)
"""Sections of the profile that decide the data; the engine and the limits of checks do not."""
_PRIVATE: dict[str, Any] = {
    "mulan": {"annotations": True, "images": True, "coco": {"info"}},
    "cutouts": {"folder"},
    "backgrounds": {"folder"},
    "library": {"takedowns", "evaluation_lists"},
}
"""Fields that hold paths on the machine that made the data."""


@dataclass(frozen=True)
class Release:
    """One version of a dataset, which a card describes.

    Attributes:
        profile: name of the profile that made it.
        data_version, fingerprint: hash of the data's contents, and fingerprint of the shards' recipe.
        shards: shard numbers, in order.
        assets: asset -> number of scenes, as `index.count_assets` gives it.
        sheets: names of the contact sheets that exist.
        beyond: shards that lie beside these, and are not part of the dataset.
        compared: result of `compared_lists`; None = training was not compared with evaluation.
    """

    profile: str
    config: DataConfig
    data_version: str
    fingerprint: str
    shards: tuple[str, ...]
    statistics: Statistics
    assets: Mapping[Asset, int]
    sheets: tuple[str, ...]
    compared: list[dict[str, Any]] | None = None
    beyond: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the dataset in titles and catalogues."""
        return f"decoupage {self.profile}"

    @property
    def description(self) -> str:
        """A description of the dataset in two sentences."""
        s = self.statistics
        return (
            f"{s.num_scenes:,} composed scenes of one to three RGBA layers ({s.num_layers:,} layers) with imperfect "
            f"masks, edge, segmentation and depth maps, for layer decomposition. Made by decoupage from the profile "
            f"{self.profile}."
        )


def recipe(config: DataConfig) -> dict[str, Any]:
    """The profile's values that decide the data, without paths on this machine."""
    sections = {
        section: getattr(config, section).model_dump(mode="json", exclude=_PRIVATE.get(section, set()))
        for section in RECIPE_SECTIONS
    }
    return sections | {"gates": gates_recipe(config.gates)}


def compared_lists(leaks: LeakReport | None) -> list[dict[str, Any]] | None:
    """The lists that training was compared with: name without folders, entries, and training assets found in it."""
    if leaks is None:
        return None
    return [
        {"name": PurePath(name).name, "entries": number, "leaking": leaks.by_list[name]}
        for name, number in leaks.lists.items()
    ]


def card_markdown(release: Release) -> bytes:
    """The data card as UTF-8 Markdown."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines.dataset", "."),
        undefined=jinja2.StrictUndefined,  # A misspelt name is an error, not a gap in the card.
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML; values in tables go through the `cell` filter.
    )
    environment.filters |= {"cell": _cell, "yaml": lambda value: json.dumps(value, ensure_ascii=False)}
    s = release.statistics
    tools = [use for use in uses(release.config) if use.key.startswith(("maps.", "generated."))]
    text = environment.get_template("card.md.jinja").render(
        release=release,
        s=s,
        size_px=release.config.scenes.size_px,
        licences=hub_licences(list(s.licences)),
        combined=combined_licence([*s.licences, *(use.licence for use in tools if binds_outputs(use.licence))]),
        forbidding=[(name, why) for name in s.licences if (why := why_not_commercial(name))],
        terms={name: find_terms(name) for name in s.licences},
        tools=tools,
        taken_down=_taken_down(s.drops),
        size_category=size_category(s.num_scenes),
        stand_ins=stand_ins(release.config),
        sources=_sources(release.assets),
        use_ranges=max((list(found.histogram) for found in s.uses.values()), key=len, default=[]),
        shard_range=_shard_range(release.shards),
        recipe=json.dumps(recipe(release.config), indent=1, sort_keys=True),
    )
    return text.encode()


def _taken_down(drops: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Kind of asset -> number excluded by the takedown list. Who requested a takedown is not named."""
    kinds = ("foregrounds", "backgrounds")
    return {kind: number for kind in kinds if (number := drops.get(f"library-{kind}", {}).get("takedown", 0))}


def size_category(num_scenes: int) -> str:
    """The Hub's size class of a number of samples."""
    return next((name for limit, name in _SIZES if num_scenes < limit), "n>1T")


def _sources(assets: Mapping[Asset, int]) -> list[tuple[str, str, str, int]]:
    """(role, source, licence, number of assets), sorted."""
    counts = Counter((asset.role, asset.source, asset.licence) for asset in assets)
    return [(*group, number) for group, number in sorted(counts.items())]


def _shard_range(shards: tuple[str, ...]) -> str:
    """The range of shard numbers in the brace form that webdataset expands."""
    return shards[0] if len(shards) == 1 else f"{{{shards[0]}..{shards[-1]}}}"


def _cell(value: object) -> str:
    """A value as text that does not break a Markdown table."""
    return " ".join(str(value).split()).replace("|", "\\|")
