"""From an RGBA picture to a library foreground: filters, bled colour, lossless WebP, perceptual hash, record.

Foregrounds of every source are made here, so that their bytes and measures are comparable.
"""

import hashlib
import re

from decoupage.images.alpha import bleed
from decoupage.images.codecs import encode_webp
from decoupage.images.types import Rgba
from pipelines.config import GateConfig
from pipelines.foregrounds.gates import apply_gates
from pipelines.foregrounds.prompts.nouns import is_plural
from pipelines.library.picture_hashes import perceptual_hash
from pipelines.library.records import Completeness, ForegroundRecord, Kind, Split

_ID = re.compile(r"[A-Za-z0-9_-]+")


def make_cutout(  # noqa: PLR0913 - a record's columns, by name
    rgba: Rgba,
    gates: GateConfig,
    *,
    kind: Kind,
    id: str,
    source: str,
    origin: str,
    category: str = "",
    prompt: str = "",
    caption: str = "",
    licence: str,
    attribution: str,
    split: Split = "train",
    consistency_error: float = -1.0,
    whole: bool = False,
) -> tuple[bytes, ForegroundRecord]:
    """Turn a cutout that lies in its whole source picture into WebP bytes and their record.

    Args:
        rgba: [H, W, 4] of the source picture's size, straight alpha.
        gates: the limits that it must meet.
        id: becomes the member `<id>.webp`; the other names are columns of `ForegroundRecord`. A prompt in the plural,
            or where there is none such a caption, lets two parts of about the same area pass.
        whole: a source of real ones says that they are complete, but for what their pictures' borders cut.

    Returns:
        Lossless WebP cropped to the alpha box with bled colour, and the record (split as given; tar, offset and
        num_bytes are left to the library).

    Raises:
        BadItem: a filter refused it (reasons: `pipelines.foregrounds.gates.apply_gates`).
    """
    if not _ID.fullmatch(id):
        raise ValueError(f"a foreground's id must be letters, digits, - and _, got {id!r}")
    gated = apply_gates(rgba, gates, pair=is_plural(prompt or caption))
    bled = bleed(gated.rgba)
    data = encode_webp(bled)
    completeness: Completeness = "cut" if gated.cut_sides else "complete" if whole or kind == "generated" else "unknown"
    record = ForegroundRecord(
        id=id,
        source=source,
        kind=kind,
        origin=origin,
        member=f"{id}.webp",
        sha256=hashlib.sha256(data).hexdigest(),
        width_px=bled.shape[1],
        height_px=bled.shape[0],
        area_px=gated.area_px,
        alpha_mean=gated.alpha_mean,
        soft_share=gated.soft_share,
        semi_transparent=gated.semi_transparent,
        completeness=completeness,
        cut_sides=gated.cut_sides,
        category=category,
        prompt=prompt,
        caption=caption,
        licence=licence,
        attribution=attribution,
        consistency_error=consistency_error,
        perceptual_hash=perceptual_hash(bled),
        split=split,
    )
    return data, record
