"""Published weights of learned metrics: files are checked by hash before work starts, and read without unpickling."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from decoupage.faults import BadSetup
from decoupage.text_files import printable
from decoupage.weights.files import PinnedFile
from evaluation.config import WeightsConfig

if TYPE_CHECKING:
    import torch


def read_state(config: WeightsConfig, setting: str) -> dict[str, "torch.Tensor"]:
    """The tensors of a state dict, by name.

    Only tensors are read; anything else that a pickle could hold is refused.

    Args:
        setting: the profile's field, for messages.

    Raises:
        BadSetup: no such file, another hash, no state dict, or values that are not finite.
    """
    import torch

    if why := PinnedFile(config.path, config.sha256).fault():
        raise BadSetup(f"{setting}: {why}; set the right file and hash in the profile, or remove the setting")
    try:
        state = torch.load(config.path, map_location="cpu", weights_only=True)
    except Exception as error:  # Damaged files end in a dozen kinds of errors, none of them documented.
        raise BadSetup(
            f"{setting}: {config.path} is not a PyTorch state dict ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BadSetup(f"{setting}: {config.path} holds no state dict, a mapping of names to tensors")
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise BadSetup(f"{setting}: {config.path} holds values that are not finite in {printable(str(broken[0]))}")
    return dict(state)


def check_shapes(state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], setting: str, net: str) -> None:
    """Raises BadSetup where a tensor is missing or has another shape. Additional tensors are allowed."""
    for name, shape in shapes.items():
        found = tuple(state[name].shape) if name in state else None
        if found != shape:
            told = "is missing" if found is None else f"has the shape {list(found)}"
            raise BadSetup(f"{setting}: these are not weights of {net}: {name} {told}, expected {list(shape)}")
