"""The model card: what the adapter is, how to use it, its training data, its figures, its licences.

The text is in the templates beside this module; here are the values that fill them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decoupage.adapter import AdapterConfig
from decoupage.bases.spec import Base
from decoupage.maps.depth import DarkChannel
from decoupage.maps.segmentation import Felzenszwalb
from decoupage.publishing.folder import CARD, Kind, Manifest, version

_STAND_INS = {kind.model: kind.stands_in_for for kind in (DarkChannel, Felzenszwalb)}
"""Model of a maker of maps, as its recipe names it -> the model that it replaces."""
_TEMPLATES = {"adapter": "adapter.md.jinja", "remove-only": "remove_only.md.jinja"}


@dataclass(frozen=True)
class CardFacts:
    """Facts on a card that cannot be read from the weights; any of them may be unknown.

    Attributes:
        repo_id: where the folder will be published (owner/name), for the code on the card; None = the code is to be
            run in the folder.
        data_fingerprint: fingerprint of the data set's recipe.
        data_licences: licences of its pictures, and of those that other weights in the folder were trained on;
            `unknown` where none is stated.
        training: steps, batch size and the like, by name.
        figures: measured values, by the metric's name with its region; None = not measured.
        limits: limits of this adapter besides those that every adapter has.
    """

    repo_id: str | None = None
    data_fingerprint: str | None = None
    data_licences: Sequence[str] = ()
    training: Mapping[str, str | int | float] = field(default_factory=dict)
    figures: Mapping[str, float | None] = field(default_factory=dict)
    limits: Sequence[str] = ()


def card_facts(manifest: Manifest) -> CardFacts:
    """What a published folder says of its data and figures."""
    return CardFacts(
        data_fingerprint=manifest.data_fingerprint, data_licences=manifest.data_licences, figures=manifest.figures
    )


def write_card(folder: Path, kind: Kind, base: Base, config: AdapterConfig, facts: CardFacts) -> None:
    """Write `README.md` with the front matter that the Hugging Face Hub reads."""
    num_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    (folder / CARD).write_text(card_markdown(kind, base, config, facts, num_bytes), encoding="utf-8")


def stand_ins(base: Base, config: AdapterConfig) -> dict[str, str]:
    """What was trained with in the place of the real thing: stand-in -> the model that it replaces."""
    found = {base.name: base.stands_in_for} if base.stands_in_for else {}
    for name in config.maps:
        model = str(config.map_makers.get(name, {}).get("model", ""))
        if model in _STAND_INS:
            found[f"{model} ({name})"] = _STAND_INS[model]
    return found


def card_markdown(kind: Kind, base: Base, config: AdapterConfig, facts: CardFacts, num_bytes: int) -> str:
    """The card as Markdown.

    Args:
        num_bytes: size of the folder's other files.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("decoupage.publishing", "templates"),
        undefined=jinja2.StrictUndefined,  # A misspelt name is an error, not a gap in the card.
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML; values in tables go through the `cell` filter.
    )
    environment.filters |= {"cell": _cell, "figure": _figure, "yaml": json.dumps}
    licences = list(dict.fromkeys([base.licence, *facts.data_licences]))
    return environment.get_template(_TEMPLATES[kind]).render(
        base=base,
        config=config,
        facts=facts,
        license_name="-and-".join(_slug(licence) for licence in licences),
        input_dim=config.input_dim(base),
        pipeline_class=base.pipeline_class.__name__,
        source=facts.repo_id or ".",
        megabytes=num_bytes / 1e6,
        stand_ins=stand_ins(base, config),
        version=version(),
    )


def _slug(licence: str) -> str:
    """The name of a licence as the Hub writes it: lower case, with hyphens."""
    return re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-")


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"
