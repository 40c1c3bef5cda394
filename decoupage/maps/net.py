"""Runs a net of transformers over batches of pictures: loaded on first use, kept while the process lives.

Which net, and what its output means, is the business of `segformer.py` and `depth_anything.py`.

What is equal: on one device, with one batch size and one version of torch, a picture gives the same bytes whatever
its neighbours are, because every batch is filled up, so the same kernels run. Seen on a CPU; on a GPU it has not
been tried. Another batch size or another GPU may choose other kernels: labels and depth then agree closely, not bit
for bit. So do a GPU, in half precision, and a CPU, in single precision.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from decoupage.faults import BadOutput, BadSetup
from decoupage.images.types import Array, Rgb
from decoupage.weights.hub import HubFiles

Kind = Literal["segformer", "depth_anything"]
Read = Callable[[Any], Any]
"""Output of a net, [B, ...] tensors by name -> [B, h, w] tensor."""

_loading = Lock()


@dataclass(frozen=True)
class NetFiles:
    """A net's files, looked at and found fit.

    Attributes:
        files: of the published layout; folder: where they lie.
        config: what `config.json` says.
    """

    files: HubFiles
    folder: Path
    config: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of all the files: changes when the net would compute something else."""
        return self.files.sha256()


@dataclass(frozen=True)
class Net:
    """A net on its device. Threads may share it: they prepare pictures side by side, and compute in turn."""

    model: Any
    processor: Any
    device: str
    computing: Lock = field(default_factory=Lock)

    def run(self, pictures_HWC: Sequence[Rgb], size_px: int, batch_size: int, read: Read) -> list[Array]:
        """[h, w] for each picture, in order; pictures may differ in size.

        Args:
            size_px: side, in pixels, that the net's own preparation resizes to.
            read: makes one map per picture of what the net gives; runs on the device.

        Raises:
            BadOutput: the net gave something that is not finite.
        """
        size = {"height": size_px, "width": size_px}
        inputs_CHW = [self.processor(rgb, size=size)["pixel_values"][0] for rgb in pictures_HWC]
        maps: dict[int, Array] = {}
        for indices in _alike(inputs_CHW, batch_size):
            filled = indices + indices[-1:] * (batch_size - len(indices))
            maps_Bhw = self._compute(np.stack([inputs_CHW[i] for i in filled]), read)
            maps |= dict(zip(indices, maps_Bhw, strict=False))
        return [maps[i] for i in range(len(pictures_HWC))]

    def _compute(self, inputs_BCHW: NDArray[np.float32], read: Read) -> Array:
        import torch

        inputs = torch.from_numpy(inputs_BCHW)
        # Without `deterministic` cuDNN may choose kernels that add in another order each time.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True)
        with self.computing, torch.inference_mode(), exact:
            output = self.model(pixel_values=inputs.to(self.device).to(self.model.dtype))
            for name, values in output.items():
                if not torch.isfinite(values).all():
                    raise BadOutput(
                        f"{type(self.model).__name__} gave {name} that are not finite, in {self.model.dtype} on "
                        f"{self.device}: fetch its weights again, or set this map's device to cpu"
                    )
            return np.asarray(read(output).cpu().numpy())


def _alike(inputs_CHW: Sequence[Array], batch_size: int) -> Iterator[list[int]]:
    """Indices of inputs of one shape, at most `batch_size` at once."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, values in enumerate(inputs_CHW):
        shapes.setdefault(values.shape, []).append(i)
    for indices in shapes.values():
        for start in range(0, len(indices), batch_size):
            yield indices[start : start + batch_size]


def load_net(kind: Kind, files: NetFiles, device: str) -> Net:
    """A net, loaded once a process for each state of its files.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:1`; `auto` takes a GPU where there is one.

    Raises:
        BadSetup: the files do not hold all of the net.
    """
    with _loading:
        return _load(kind, files.folder, files.sha256, chosen_device(device))


def chosen_device(device: str) -> str:
    """What `auto` means here."""
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def is_here(device: str) -> bool:
    """Whether this machine has a device."""
    import torch

    name, _, number = device.partition(":")
    return name != "cuda" or int(number or 0) < torch.cuda.device_count()


@lru_cache(4)
def _load(kind: Kind, folder: Path, sha256: str, device: str) -> Net:
    from transformers import DepthAnythingForDepthEstimation, SegformerForSemanticSegmentation

    # The processors that need no torchvision.
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil
    from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

    network, processor = {
        "segformer": (SegformerForSemanticSegmentation, SegformerImageProcessorPil),
        "depth_anything": (DepthAnythingForDepthEstimation, DPTImageProcessorPil),
    }[kind]
    model = whole_model(network, folder, device)
    return Net(model, processor.from_pretrained(folder, local_files_only=True), device)


def whole_model(network: Any, folder: Path, device: str) -> Any:
    """A model of transformers' class `network` on a device, in half precision on a GPU.

    Raises:
        BadSetup: the folder holds another network, or not all of it.
    """
    import torch

    # float16 has eight times bfloat16's precision; should its range not suffice, what it gives is not finite.
    dtype = torch.float16 if device.startswith("cuda") else torch.float32
    kind = network.config_class.model_type
    try:
        model, report = network.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise BadSetup(f"{folder} cannot be loaded as {kind}: {error}") from error
    # What a file lacks would be drawn at random.
    if lacking := sorted(map(str, report["missing_keys"])):
        raise BadSetup(f"{folder}/model.safetensors lacks {len(lacking)} tensors of {kind}, such as {lacking[0]}")
    return model.to(device).eval()
