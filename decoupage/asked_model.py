"""Which model a command asks for, and on which device and in which precision it works."""

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from decoupage.placing import Placing, place

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")
PACKAGED = "packaged"
"""In `layers.json`: the model that is used where none is named."""
PACKAGED_LINE = (
    "model: small, packaged, {size_px} px: for trying; "
    "a model trained on FLUX.1-Fill is what docs/first_adapter.md makes"
)


@dataclass(frozen=True)
class AskedModel:
    """A model that is not loaded yet.

    Attributes:
        name: folder, Hub repository or address of an adapter; None = the packaged one.
        base: instead of the base that the adapter names.
        maps: `auto` = the model makes them; anything else: it makes none.
        place, precision: of torch.
        placing: what of it lies on the device, and what is quantised.
        prompt: whether it will be given a prompt, so that text encoders are loaded with it.
    """

    name: str | None
    base: str | None
    maps: str
    place: "torch.device"
    precision: "torch.dtype"
    placing: Placing = field(default_factory=Placing)
    prompt: bool = False

    @property
    def adapter(self) -> str:
        """Folder, repository or address of the adapter."""
        from decoupage.publishing import shipped_adapter

        return self.name or str(shipped_adapter())

    @property
    def said(self) -> dict[str, Any]:
        """For `layers.json`."""
        from decoupage.results import text_of

        return {
            "model": PACKAGED if self.name is None else text_of(self.name),
            "base": self.base and text_of(self.base),
            "device": str(self.place),
            "dtype": str(self.precision).removeprefix("torch."),
            "quantise": self.placing.quantise,
        }

    def load(self) -> Any:
        """The pipeline; says so where it is the packaged one.

        Raises:
            ValueError: it is not here or damaged, or would not fit the card.
        """
        from decoupage.pipeline import LayerDecompositionPipeline

        if self.place.type == "cuda":
            from decoupage.plan import check_fits

            check_fits(self)
        maps: Literal["auto", "none"] = "auto" if self.maps == "auto" else "none"
        try:
            pipe = LayerDecompositionPipeline.from_pretrained(
                self.adapter,
                dtype=self.precision,
                base=self.base,
                maps=maps,
                quantise=self.placing.quantise,
                text=self.prompt,
            )
        except OSError as error:  # The Hub's libraries raise it for missing files, too.
            raise ValueError(f"--model {self.name}: {error}") from error
        # In a log tqdm's bar would be a line for each step.
        pipe.set_progress_bar_config(disable=not sys.stderr.isatty())
        if self.name is None:
            print(PACKAGED_LINE.format(size_px=pipe.adapter.size_px), file=sys.stderr)
        return place(pipe, self.placing.offload, self.place)


def place_of(device: str, dtype: str) -> "tuple[torch.device, torch.dtype]":
    """(device, precision) of two options. Raises ValueError: neither is known, or the device is not here."""
    _check_dtype(dtype)
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"--device must be auto, cpu, cuda, cuda:1 or mps, got {device}") from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {device}: this machine has {torch.cuda.device_count()} CUDA devices")
    if dtype == "auto":
        dtype = "float32" if place.type == "cpu" else "bfloat16"
    return place, getattr(torch, dtype)


def planned_place_of(dtype: str) -> "tuple[torch.device, torch.dtype]":
    """(device, precision) of a GPU that need not be here. Raises ValueError: the precision is not known."""
    _check_dtype(dtype)
    import torch

    return torch.device("cuda"), getattr(torch, "bfloat16" if dtype == "auto" else dtype)


def _check_dtype(dtype: str) -> None:
    # Suppresses unasked advice on optional packages.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if dtype not in DTYPES:
        raise ValueError(f"--dtype must be one of {', '.join(DTYPES)}, got {dtype}")
