"""The makers of maps: those that a profile asks for, and those that an adapter was trained with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decoupage.fingerprint import Recipe
from decoupage.images.sizes import bounded_size, resize_picture
from decoupage.images.types import Array, Rgb
from decoupage.maps.config import DepthConfig, EdgesConfig, MapsConfig, SegmentationConfig
from decoupage.maps.depth import DarkChannel
from decoupage.maps.depth_anything import DepthAnything
from decoupage.maps.edges import CannyEdges
from decoupage.maps.maker import MapMaker
from decoupage.maps.segformer import Segformer
from decoupage.maps.segmentation import Felzenszwalb
from decoupage.maps.table import MAPS
from decoupage.settings import Section

_MAKERS: dict[str, tuple[type[Section], Callable[[Any], MapMaker]]] = {
    "edges": (EdgesConfig, CannyEdges),
    "segmentation": (
        SegmentationConfig,
        lambda config: Segformer(config) if config.model == Segformer.model else Felzenszwalb(config),
    ),
    "depth": (
        DepthConfig,
        lambda config: DepthAnything(config) if config.model == DepthAnything.model else DarkChannel(config),
    ),
}
"""Map -> its section of a profile, and what makes its maker."""


def make_makers(config: MapsConfig) -> tuple[MapMaker, ...]:
    """The makers that a profile asks for, in the table's order."""
    return tuple(make(getattr(config, name)) for name, (_, make) in _MAKERS.items())


def maker_of(name: str, recipe: Recipe) -> MapMaker:
    """The maker that gave itself this recipe (`MapMaker.recipe`); its weights are looked for in the Hub's cache.

    Raises:
        ValueError: this version makes no such maps.
    """
    section, make = _MAKERS[name]
    try:
        maker = make(section(**{key: value for key, value in recipe.items() if key in section.model_fields}))
    except ValueError as error:  # pydantic's errors are ValueErrors.
        raise ValueError(f"maps of {name}: no maker has the recipe {recipe} ({error})") from error
    if maker.recipe != recipe:
        raise ValueError(f"maps of {name}: this version makes them by {maker.recipe}, not by {recipe}")
    return maker


@dataclass(frozen=True)
class AutoMaps:
    """Makes the maps of a picture as those of an adapter's training data were made.

    Attributes:
        makers: by the name of the map.
        picture_px: maps are made of pictures of at most this area (`picture_px` squared); larger ones are scaled down.
    """

    makers: Mapping[str, MapMaker]
    picture_px: int

    @classmethod
    def of(cls, recipes: Mapping[str, Recipe], picture_px: int) -> "AutoMaps":
        """The makers of these recipes, by name of the map. Raises ValueError as `maker_of`."""
        return cls({name: maker_of(name, recipe) for name, recipe in recipes.items()}, picture_px)

    def __call__(self, rgb_HWC: Rgb, names: Sequence[str]) -> dict[str, Array]:
        """The stored maps of those names that there is a maker for.

        Raises:
            BadSetup: weights of a maker are not here; the message says how to get them.
        """
        picture = resize_picture(rgb_HWC, bounded_size(rgb_HWC.shape[:2], self.picture_px**2))
        made = {name: self.makers[name].pngs([picture])[0] for name in names if name in self.makers}
        return {name: MAPS[name].decode(png) for name, png in made.items()}
