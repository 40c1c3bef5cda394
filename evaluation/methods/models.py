"""The inpainting base as it is, and the trained adapter, as methods. torch is imported when one is made."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.cases import Case
from evaluation.methods.noise import noise_of
from evaluation.methods.spec import BACKGROUND, FOREGROUND, Layers, Method

if TYPE_CHECKING:
    from decoupage import LayerDecompositionPipeline


class PipelineMethod:
    """A LayerDecompositionPipeline as a method.

    Noise is seeded by (seed, case), so an image's result does not depend on the batch that it is in.

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

    def __call__(self, cases: Sequence[Case]) -> Sequence[Layers]:
        """See `Method`. Nothing is pasted back here: the protocol does that, for every method alike."""
        maps: dict[str, Any] = {}
        if all(case.maps is not None for case in cases):  # Else the pipeline makes them.
            maps = {name: np.stack([(case.maps or {})[name] for case in cases]) for name in self._pipe.adapter.maps}
        out = self._pipe(
            np.stack([case.composite for case in cases]),
            mask=np.stack([case.mask for case in cases]),
            maps=maps,
            num_inference_steps=self._num_steps,
            generator=[noise_of(self._seed, case) for case in cases],
            paste_back=False,
            output_type="np",
        )
        backgrounds = out.background if BACKGROUND in self.gives else [None] * len(cases)
        foregrounds = out.foreground if FOREGROUND in self.gives else [None] * len(cases)
        return [Layers(*parts) for parts in zip(backgrounds, foregrounds, strict=True)]


def base_method(base: str, source: str | None, num_steps: int, seed: int) -> Method:
    """The base without an adapter: its own picture of the background, and no foreground.

    Args:
        base: name, as `decoupage.bases.find_base` knows it.
        source: hub id or folder; None = the published one.

    Raises:
        ValueError: no such base, or its weights are not there.
    """
    from decoupage import AdapterConfig, LayerDecompositionPipeline

    # At step 0 and with each half a sample of its own, the background is the base's own picture, bit for bit.
    config = AdapterConfig(base=base, rank=1, mode="batch", maps=())
    pipe = _placed(LayerDecompositionPipeline.from_base, config, source)
    return PipelineMethod("base", pipe, [BACKGROUND], num_steps, seed)


def adapter_method(folder: str, base_source: str | None, num_steps: int, seed: int, name: str = "adapter") -> Method:
    """A published adapter, as it is used: what maps a case does not bring the pipeline makes.

    Raises:
        ValueError: a file of it is missing or damaged, or the base's weights are not there.
    """
    from decoupage import LayerDecompositionPipeline

    pipe = _placed(LayerDecompositionPipeline.from_pretrained, folder, base_source)
    return PipelineMethod(name, pipe, [BACKGROUND, FOREGROUND], num_steps, seed)


def base_facts(name: str) -> dict[str, Any]:
    """Which base this is, and for which other one it stands, if it is a stand-in."""
    from decoupage.bases import find_base

    base = find_base(name)
    return {"name": name} | ({"stands_in_for": base.stands_in_for} if base.stands_in_for else {})


def adapter_facts(folder: str) -> dict[str, Any]:
    """Which adapter this is: its base, the data that it learned from, and the hash of each file of weights.

    Raises:
        ValueError: it is no published folder, or damaged.
    """
    from decoupage.publishing.folder import find_folder, read_manifest

    manifest = read_manifest(find_folder(Path(folder) if Path(folder).is_dir() else folder))
    return {"base": manifest.base.name, "data_fingerprint": manifest.data_fingerprint, "files": manifest.files}


def _placed(load: Any, what: Any, source: str | None) -> "LayerDecompositionPipeline":
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    return load(what, source, dtype=dtype).to(device)
