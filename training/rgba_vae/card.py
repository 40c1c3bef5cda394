"""What the export of an RGBA VAE says of itself: card, figures, licences; and whether by its figures it may be used.

Imports no torch until something is read or written.
"""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from decoupage.faults import BadSetup
from decoupage.text_files import parse_json
from pipelines.checks import CheckResult
from training.licences import Licences
from training.rgba_vae.config import RgbaVaeConfig

if TYPE_CHECKING:
    from training.rgba_vae.figures import RgbaFigures

_log = logging.getLogger(__name__)
FIGURES, CARD = "figures.json", "README.md"


def write_card(
    folder: Path, config: RgbaVaeConfig, identity: Mapping[str, str], figures: "RgbaFigures", licences: Licences
) -> None:
    """`README.md`, `figures.json` and `licences.json` beside the weights."""
    from decoupage.bases import find_base

    write_figures(folder, figures)
    licences.write(folder)
    base, num_mb = find_base(config.base), sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6
    instead = (
        f"\n{config.base} stands in for {base.stands_in_for}: this VAE does not keep the same details as that one's.\n"
    )
    stand_in = instead if base.stands_in_for else ""
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in asdict(figures).items())
    text = f"""---
library_name: diffusers
license: other
license_name: {json.dumps("-and-".join(dict.fromkeys((*licences.base, *licences.data))))}
---
# RGBA VAE of {config.base}

The VAE of {config.base} with a fourth channel, alpha, for the foregrounds of a layer decomposition adapter
(`decoupage train {"demo" if base.packaged else "paper"} --data DATA --rgba-vae FOLDER --out RUN`). Straight colour and
alpha in [-1, 1]; {num_mb:.1f} MB.
{stand_in}
Trained for {config.schedule.num_steps} steps of {config.batch.size} pictures of {config.data.size_px} px; recipe
{identity["recipe"]}, data {identity["data"]}, base {identity["base"]}.

| figure, on samples kept out of training | value |
|---|---|
{rows}

| what | licences that bind users of these weights |
|---|---|
| base | {", ".join(licences.base)} |
| training data | {", ".join(licences.data)} |

Limits: its figures are means over a few samples of the training data's own kind; it knows glass, smoke and hair only as
those show them. Opaque pictures lose up to what the figures say.
"""
    (folder / CARD).write_text(text, encoding="utf-8")


def write_figures(folder: Path, figures: "RgbaFigures") -> None:
    """`figures.json`; what is not finite becomes null."""
    values = {name: value if math.isfinite(value) else None for name, value in asdict(figures).items()}
    (folder / FIGURES).write_text(json.dumps(values, indent=1), encoding="utf-8")


def _read_figures(file: Path) -> "RgbaFigures":
    """Raises BadSetup or ValueError: the file is damaged."""
    from training.rgba_vae.figures import RgbaFigures

    values = parse_json(file.read_bytes(), FIGURES)
    if isinstance(values, dict):
        values = {name: math.nan if value is None else value for name, value in values.items()}
    return TypeAdapter(RgbaFigures).validate_python(values)


def opaque_pictures_kept(folder: Path) -> CheckResult:
    """Opaque pictures lose no more quality in the RGBA VAE than `decoupage.rgba_vae.MAX_OPAQUE_PSNR_LOSS_DB`.

    Args:
        folder: the export of a run.

    Raises:
        ValueError: its figures are damaged.
    """
    from decoupage.rgba_vae import MAX_OPAQUE_PSNR_LOSS_DB as ALLOWED_DB  # torch comes with it.

    file = folder / FIGURES
    if not file.is_file():
        return CheckResult(False, f"{file} is missing: the loss on opaque pictures was not measured")
    try:
        drift = _read_figures(file).drift
        sentence = f"opaque pictures lose {drift.psnr_loss_db:.3f} dB of {drift.psnr_rgb_db:.2f} dB"
    except (BadSetup, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{file} is damaged ({reason}); train the RGBA VAE again") from error
    sentence += f", at most {ALLOWED_DB:g} dB are allowed"
    sentence += "" if drift.is_acceptable else ": train longer, or raise weights.tie"
    return CheckResult(drift.is_acceptable, sentence, {"opaque_psnr_loss_db": round(drift.psnr_loss_db, 4)})


def require_acceptable(folder: Path) -> None:
    """Refuse an RGBA VAE whose own figures are too bad; one without figures is accepted with a warning.

    Raises:
        BadSetup: opaque pictures lose too much quality in it.
        ValueError: its figures are damaged.
    """
    found = opaque_pictures_kept(folder)
    if found.passed:
        return
    if (folder / FIGURES).is_file():
        raise BadSetup(f"the RGBA VAE in {folder} is not good enough: {found.sentence}")
    _log.warning("RGBA VAE: %s", found.sentence)
