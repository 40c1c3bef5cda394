"""A photograph and its objects in, files out: what `decompose` does with each picture once a model is loaded."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decoupage.images.reading import Picture
from decoupage.results import Layers, layer_names, mask_files, write_layers
from decoupage.selection.objects import Selected, front_to_back

if TYPE_CHECKING:
    from PIL import Image

    from decoupage.images.sizes import Geometry
    from decoupage.images.types import Array
    from decoupage.pipeline import LayerDecompositionPipeline


@dataclass(frozen=True)
class Settings:
    """How pictures are taken apart: arguments of the pipeline, and which files are written besides PNGs.

    Attributes:
        prompt, steps, guidance, paste_back: of `LayerDecompositionPipeline`; steps None = the adapter's own.
        seed: of the noise; a picture's result depends on no other picture.
    """

    prompt: str = ""
    steps: int | None = None
    guidance: float = 1.0
    seed: int = 0
    paste_back: bool = True
    psd: bool = False
    ora: bool = False


def take_apart(
    pipe: "LayerDecompositionPipeline",
    photograph: Picture,
    objects: Sequence[Selected],
    maps: "Mapping[str, Array] | None",
    settings: Settings,
    out: Path,
    after_step: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Decompose one photograph and write the pictures to a folder; returns what `layers.json` says of it.

    Args:
        objects: front to back.
        maps: of the photograph; those that are not given the pipeline makes.
        after_step: called after each of `num_steps`; what it raises ends the work.

    Raises:
        ValueError: as the pipeline. BadOutput: the network gave values that are not finite; nothing was written.
    """
    import torch
    from PIL import Image

    picture, masks = Image.fromarray(photograph.rgb), [each.mask for each in objects]
    started_s = time.perf_counter()
    result = pipe(
        picture,
        **({"mask": masks[0]} if len(masks) == 1 else {"layers": masks}),
        prompt=settings.prompt,
        maps=maps,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        generator=torch.Generator("cpu").manual_seed(settings.seed),  # So the noise does not depend on the device.
        output_type="pil",
        paste_back=settings.paste_back,
        callback_on_step_end=None if after_step is None else lambda *_: after_step(),
    )
    seconds = round(time.perf_counter() - started_s, 3)
    names = layer_names([each.name for each in objects])
    layers = Layers(
        result.background[0],
        result.foreground,
        names,
        result.recomposition[0],
        result.in_front,
        result.mask,
        photograph.icc_profile,
    )
    return {
        **write_layers(out, layers, psd=settings.psd, ora=settings.ora),
        "recomposition_error": _error(result, picture),
        "objects": [
            {"name": name, **each.said, "by": each.by or "given", "mask_used": file}
            for name, each, file in zip(names, objects, mask_files(len(objects)), strict=True)
        ],
        "prompt": settings.prompt,
        "working_size_px": list(geometry_of(pipe, photograph.size).content_px[::-1]),
        "maps": _maps_used(pipe, maps),
        "steps": settings.steps or pipe.adapter.num_inference_steps,
        "guidance": settings.guidance,
        "seed": settings.seed,
        "paste_back": settings.paste_back,
        "seconds": {"decompose": seconds},
    }


def num_steps(pipe: "LayerDecompositionPipeline", num_objects: int, settings: Settings) -> int:
    """Calls of the network that a photograph takes."""
    return num_objects * pipe.adapter.num_looks * (settings.steps or pipe.adapter.num_inference_steps)


def ordered(
    pipe: "LayerDecompositionPipeline",
    photograph: Picture,
    objects: Sequence[Selected],
    maps: "Mapping[str, Array] | None",
) -> list[Selected]:
    """Objects that were found all at once, front to back: by the given map of depth, or that which the pipeline makes.

    Raises:
        BadSetup: weights of the map's maker are not here.
    """
    from decoupage.images.sizes import resize_values
    from decoupage.maps.table import inverse_depth

    depth, made_by = (maps or {}).get("depth"), "the given map"
    if depth is None and pipe.make_maps is not None and "depth" in pipe.make_maps.makers:
        depth = pipe.make_maps(photograph.rgb, ["depth"])["depth"]
        made_by = _maps_used(pipe, None)["depth"]
    near_HW = None if depth is None else resize_values(inverse_depth(depth), photograph.size)
    return front_to_back(objects, near_HW, made_by)


def geometry_of(pipe: "LayerDecompositionPipeline", size_px: tuple[int, int]) -> "Geometry":
    """How the pipeline's model sees a picture of a size, (height, width)."""
    from decoupage.bases import find_base
    from decoupage.images.sizes import working_geometry

    return working_geometry(size_px, find_base(pipe.adapter.base).pixel_multiple, pipe.adapter.size_px)


def _maps_used(pipe: "LayerDecompositionPipeline", given: "Mapping[str, Array] | None") -> dict[str, str]:
    """Name of each map that the adapter takes -> what it was made by; `given`, or `none` where it went without."""
    used = dict.fromkeys(pipe.adapter.maps, "none") | dict.fromkeys(given or {}, "given")
    for name, maker in (pipe.make_maps.makers if pipe.make_maps else {}).items():
        stands_in = f" (stand-in for {maker.stands_in_for})" if maker.stands_in_for else ""
        used[name] = f"{maker.recipe['model']}{stands_in}"
    return used


def _error(result: Any, picture: "Image.Image") -> dict[str, float | None]:
    from decoupage.images.blending import recomposition_error

    psnr_db = recomposition_error(result.recomposition[0], picture).psnr_db
    mean_absolute = round(float(result.recomposition_error[0]), 4)
    # JSON has no infinity: the PSNR of equal pictures is null.
    return {"mean_absolute_levels": mean_absolute, "psnr_db": round(psnr_db, 3) if math.isfinite(psnr_db) else None}
