"""The trained adapter as a method, and the base that it names. torch is imported when one is made."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from evaluation.cases import Case
from evaluation.config import EvaluationConfig
from evaluation.controls import NO_MAPS, OTHER_MAPS
from evaluation.method import BACKGROUND, FOREGROUND, SAME_AREA, Layers, Method, MethodRecipe
from evaluation.methods.base import base_recipe, base_sha256, place
from evaluation.methods.noise import noise_of
from pipelines.licences.terms import UNKNOWN, licence_of

if TYPE_CHECKING:
    from decoupage import LayerDecompositionPipeline
    from decoupage.publishing.folder import Manifest

VERSION = 4
"""To be raised whenever the same weights would answer the same question otherwise."""
GUIDANCE = 1.0
"""Embedded guidance of adapters: that of their training, and the pipeline's default."""


class PipelineMethod:
    """A LayerDecompositionPipeline as a method.

    Noise is seeded by (seed, case), so an image's result depends on nothing but itself.

    Args:
        gives: which of the pipeline's two results count.
        num_steps: sampling steps.
    """

    def __init__(
        self, name: str, pipe: "LayerDecompositionPipeline", gives: Sequence[str], num_steps: int, seed: int
    ) -> None:
        self.name, self.gives = name, frozenset(gives)
        self._pipe, self._num_steps, self._seed = pipe, num_steps, seed
        pipe.set_progress_bar_config(disable=True)

    def __call__(self, case: Case) -> Layers:
        """See `Method`. The background is as generated; the opacity says what `paste_back=True` makes of it."""
        import numpy as np

        from decoupage.images.blending import seam
        from decoupage.output import GROW_PX

        given = case.maps or {}  # The pipeline makes the maps that a case does not have.
        out = self._pipe(
            case.composite,
            mask=case.mask,
            maps={name: given[name] for name in self._pipe.adapter.maps if name in given},
            num_inference_steps=self._num_steps,
            guidance_scale=GUIDANCE,
            generator=noise_of(self._seed, case),
            paste_back=False,
            output_type="np",
        )
        opacity = np.rint(seam(out.mask[0, ..., 0] > 0, GROW_PX) * 255).astype(np.uint8)
        return Layers(
            out.background[0] if BACKGROUND in self.gives else None,
            out.foreground[0] if FOREGROUND in self.gives else None,
            opacity,
        )


def model_recipes(adapter: str, base_source: str | None, config: EvaluationConfig) -> tuple[MethodRecipe, MethodRecipe]:
    """(`base`, `adapter`): a published adapter, and the base that it names, each by its own publisher's settings.

    Args:
        adapter: folder, hub id or address.
        base_source: folder or hub id of its base; None = the published one.

    Raises:
        ValueError: a file of the adapter is missing or damaged.
    """
    theirs = adapter_recipe(adapter, base_source, config)
    return base_recipe(str(theirs.facts["base"]), base_source, config.seed), theirs


def adapter_recipe(
    adapter: str, base_source: str | None, config: EvaluationConfig, name: str = "adapter", folder: str = ""
) -> MethodRecipe:
    """A published adapter with the stored maps and, unless the profile says otherwise, its own number of steps.

    Args:
        adapter: folder, hub id or address.
        base_source: folder or hub id of its base; None = the published one.
        folder: of its record, if another method has the same name.

    Raises:
        ValueError: a file of it is missing or damaged.
    """
    from decoupage import AdapterConfig

    manifest = _manifest(adapter)
    own = AdapterConfig.from_dict(manifest.adapter)
    num_steps, seed = config.num_steps or own.num_inference_steps, config.seed

    def make() -> Method:
        return adapter_method(adapter, base_source, num_steps, seed, name)

    facts = _facts(manifest) | {
        "base_sha256": base_sha256(manifest.base.name, base_source),
        "config": manifest.adapter,
        "version": VERSION,
    }
    settings = {"num_steps": num_steps, "guidance": GUIDANCE, "seed": seed, "resolution": SAME_AREA}
    gives = frozenset([BACKGROUND, FOREGROUND])
    controls: tuple[MethodRecipe, ...] = ()
    if own.maps and config.num_controls:

        def without() -> Method:
            return adapter_method(adapter, base_source, num_steps, seed, name, maps="none")

        bare = MethodRecipe(NO_MAPS, gives, without, facts, settings, (), own.size_px)
        controls = (bare, replace(bare, name=OTHER_MAPS, maps=tuple(own.maps)))
    return MethodRecipe(name, gives, make, facts, settings, tuple(own.maps), own.size_px, folder, controls=controls)


def adapter_method(
    folder: str,
    base_source: str | None,
    num_steps: int,
    seed: int,
    name: str = "adapter",
    maps: Literal["auto", "none"] = "auto",
) -> Method:
    """A published adapter, as it is used: the pipeline makes the maps that a case does not have.

    Args:
        maps: `none` = it goes without those.

    Raises:
        ValueError: a file of it is missing or damaged, or the base's weights are not there.
    """
    from decoupage import LayerDecompositionPipeline

    pipe = _placed(partial(LayerDecompositionPipeline.from_pretrained, maps=maps), folder, base_source)
    return PipelineMethod(name, pipe, [BACKGROUND, FOREGROUND], num_steps, seed)


def adapter_facts(folder: str) -> dict[str, Any]:
    """Which adapter this is: its base, the data that it learned from, and the hash of each file of weights.

    Raises:
        ValueError: it is not a published folder, or damaged.
    """
    return _facts(_manifest(folder))


def adapter_licences(folder: str) -> tuple[str, ...]:
    """The licences that a published adapter states: its base's, its data's; `unknown` where it names none of these.

    Raises:
        ValueError: as `adapter_facts`.
    """
    manifest = _manifest(folder)
    return (licence_of(manifest.base.name), *(manifest.data_licences or (UNKNOWN,)))


def _manifest(adapter: str) -> "Manifest":
    from decoupage.publishing.finding import find_folder
    from decoupage.publishing.folder import read_manifest

    return read_manifest(find_folder(adapter))


def _facts(manifest: "Manifest") -> dict[str, Any]:
    return {"base": manifest.base.name, "data_fingerprint": manifest.data_fingerprint, "files": manifest.files}


def _placed(load: Any, what: Any, source: str | None) -> "LayerDecompositionPipeline":
    device, dtype = place()
    return load(what, source, dtype=dtype).to(device)
