"""A stored pair as its parts, which a training sample is made from as from a scene of one layer.

Members of a pair (docs/shards.md): `composite.webp`, `background.webp`, `mask.png`, `json`, its maps, and
`foreground.webp` where the whole object is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from decoupage.faults import BadItem
from decoupage.images.alpha import alpha_box
from decoupage.images.codecs import decode_mask, decode_rgb, decode_rgba, encode_mask, encode_webp
from decoupage.images.types import Mask, Rgb, Rgba
from pipelines.scenes.parts import MAX_CANVAS_PX, Layer, SceneParts, decoded, read_record

COMPOSITE, BACKGROUND, MASK, FOREGROUND = "composite.webp", "background.webp", "mask.png", "foreground.webp"


@dataclass(frozen=True, kw_only=True)
class PairParts(SceneParts):
    """The decoded truth of one pair: a scene of one target whose composite is a photograph, not derived.

    The target's layer is what is known of it: the given foreground, or else what of the photograph lies under its mask.

    Attributes:
        photograph: [H, W, 3], with the object.
        mask: [H, W], where the object shows; it also stands for the imperfect mask, because none is stored.
        given: [H, W, 4], the whole object; None = unknown.
    """

    photograph: Rgb
    mask: Mask
    given: Rgba | None

    @classmethod
    def of(
        cls, key: str, photograph: Rgb, background: Rgb, mask: Mask, given: Rgba | None, record: dict[str, Any]
    ) -> "PairParts":
        """A pair of pictures of one size.

        Args:
            key: of the pair.
            photograph, background, mask, given: see the class; the mask has pixels.
            record: the pair's json.
        """
        shown = np.dstack([photograph, mask.astype(np.uint8) * 255]) if given is None else given
        left, top, right, bottom = box = alpha_box(shown[..., 3])
        layer = Layer(np.ascontiguousarray(shown[top:bottom, left:right]), box)
        return cls(key, background, (layer,), record, (mask,), photograph=photograph, mask=mask, given=given)

    @classmethod
    def decode(cls, key: str, members: Mapping[str, bytes], with_masks: bool = True) -> "PairParts":
        """Read a pair from its members, by suffix; its one mask is always read.

        Raises:
            BadItem: a member is absent or damaged, or two are of different sizes; the detail names it.
        """
        record = read_record(key, members)
        photograph = decoded(key, members, COMPOSITE, decode_rgb)
        if photograph.shape[0] * photograph.shape[1] > MAX_CANVAS_PX:
            raise BadItem("too_large", f"{key}.{COMPOSITE} has more pixels than any scene")
        background = decoded(key, members, BACKGROUND, decode_rgb)
        mask = decoded(key, members, MASK, decode_mask)
        given = decoded(key, members, FOREGROUND, decode_rgba) if FOREGROUND in members else None
        for suffix, part in ((BACKGROUND, background), (MASK, mask), (FOREGROUND, given)):
            if part is not None and part.shape[:2] != photograph.shape[:2]:
                raise BadItem("shape_mismatch", f"{key}.{suffix} does not have the size of {key}.{COMPOSITE}")
        if not mask.any():
            raise BadItem("empty_mask", f"{key}.{MASK} has no pixel")
        return cls.of(key, photograph, background, mask, given, record)

    def encode(self) -> dict[str, bytes]:
        """The pictures' members by suffix; lossless, so that they decode to what is here."""
        members = {COMPOSITE: encode_webp(self.photograph), BACKGROUND: encode_webp(self.background)}
        members[MASK] = encode_mask(self.mask)
        if self.given is not None:
            members[FOREGROUND] = encode_webp(self.given)
        return members

    @property
    def has_foreground(self) -> bool:
        """Whether the whole object is known."""
        return self.given is not None

    @cached_property
    def composite(self) -> Rgb:
        """[H, W, 3]: the photograph with the object."""
        return self.photograph

    def flatten(self, without: int | None = None) -> Rgb:
        """[H, W, 3]: the photograph with the object, or without it."""
        return self.photograph if without is None else self.background

    def visible_mask(self, i: int) -> Mask:
        """[H, W]: where the object shows."""
        return self.mask

    def foreground(self, i: int) -> Rgba:
        """[H, W, 4]: the whole object; zero everywhere where it is unknown."""
        return np.zeros((*self.size, 4), np.uint8) if self.given is None else self.given
