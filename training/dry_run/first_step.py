"""The first step at its real size on torch's meta device: the task's own code, on tensors with a shape and no data."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from decoupage.adapter import adapt, make_fusion
from decoupage.bases import find_base
from decoupage.bases.spec import Text
from decoupage.geometry import blocks, network_without_weights, vae_without_weights
from decoupage.pipeline import LayerDecompositionPipeline
from decoupage.rgba_vae import widen_vae
from pipelines.config import MasksConfig
from training.adapter.task import NAME, AdapterTask
from training.config import RunConfig, TrainingConfig, with_changes
from training.data import TripletBatch
from training.rgba_vae.config import RgbaVaeConfig
from training.rgba_vae.networks import PatchDiscriminator, RgbaAutoencoder
from training.task import Place

META = torch.device("meta")


@dataclass(frozen=True)
class FirstStep:
    """Shapes by name, in the order of the work, and the operations of one micro-batch, forward and backward."""

    shapes: dict[str, str]
    tflop: float


def first_step(config: RunConfig, source: str | None = None) -> FirstStep | None:
    """Forward and backward pass of a micro-batch; None for the small base, whose small run has its real size."""
    if isinstance(config, TrainingConfig):
        return _adapter(config, source)
    return _rgba_vae(config, source) if isinstance(config, RgbaVaeConfig) else None


def _shape(*tensors: Tensor) -> str:
    """`2 x [1, 4096, 64]`."""
    found = Counter(str(list(tensor.shape)) for tensor in tensors)
    return ", ".join(shape if number == 1 else f"{number} x {shape}" for shape, number in found.items())


# --- the adapter --------------------------------------------------------------------------------------------------


class _TaskWithoutText(AdapterTask):
    """The task with a prompt's embedding that has its shape alone: the text encoders are not here."""

    def _take_text(self) -> Text:
        network, base = self._pipe.transformer.config, self._base
        tokens = torch.empty(1, base.text_tokens, network.joint_attention_dim, device=META)
        pooled = torch.empty(1, network.pooled_projection_dim, device=META)
        return Text(tokens, pooled, torch.empty(base.text_tokens, 3, device=META))


def _adapter(config: TrainingConfig, source: str | None) -> FirstStep:
    # Samples too noisy to be judged are left out of recomposition, and which ones are cannot be seen without data.
    # A step takes as long with pairs as without.
    config = with_changes(config, {"objective.recomposition_weight": 0.0, "data.pairs_share": 0.0})
    adapter, base = config.adapter_config(), find_base(config.adapter.base)
    network = network_without_weights(base, source)
    with META:
        adapt(network, base, adapter)
        vae, fusion = vae_without_weights(base, source), make_fusion(base, adapter)
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    components = {base.network: network, "vae": vae, "scheduler": scheduler}
    pipe = LayerDecompositionPipeline.assembled(components, widen_vae(vae), fusion, adapter)
    task = _TaskWithoutText(config, "", pipe, MasksConfig(), Place(META))
    shapes: dict[str, str] = {}
    batch = _triplets(config)
    shapes["sample: composite"] = _shape(batch.composite_B3HW)
    shapes["sample: foreground and background"] = _shape(batch.foreground_B4HW, batch.background_B3HW)
    shapes |= {"sample: maps": _shape(*batch.maps.values())} if batch.maps else {}
    _watch(task.modules[NAME], network, fusion, base.input_projection, shapes)
    with FlopCounterMode(display=False) as counter:
        ((_, losses),) = task.losses(task.modules, batch, 0)
        losses.total.backward()
    lora = Counter(
        (tuple(down.weight.shape), tuple(up.weight.shape))
        for module in network.modules()
        if hasattr(module, "lora_A")
        for down, up in zip(module.lora_A.values(), module.lora_B.values(), strict=True)
    )
    for (down, up), number in sorted(lora.items()):
        shapes[f"LoRA of {number} layers: {down[1]} to {up[0]}"] = f"{list(down)}, {list(up)}"
    shapes["loss"] = _shape(losses.total)
    return FirstStep(shapes, counter.get_total_flops() / 1e12)


def _triplets(config: TrainingConfig) -> TripletBatch:
    number, size = config.batch.micro_batch, config.data.size_px

    def picture(channels: int) -> Tensor:
        return torch.empty(number, channels, size, size, device=META)

    return TripletBatch(
        positions=tuple(range(number)),
        end=number,
        keys=("",) * number,
        layers=(0,) * number,
        flipped=(False,) * number,
        composite_B3HW=picture(3),
        hole_B1HW=picture(1),
        kept_B1HW=picture(1),
        foreground_B4HW=picture(4),
        background_B3HW=picture(3),
        has_foreground_B=torch.ones(number, dtype=torch.bool, device=META),
        maps={name: picture(3) for name in config.adapter.maps},
    )


def _watch(module: nn.Module, network: Any, fusion: Any, projection: str, shapes: dict[str, str]) -> None:
    """Have modules note in `shapes` what they are given and what they make, once they are called."""

    def entered(_: nn.Module, given: tuple[Any, ...]) -> None:
        noisy, encoded = given[:2]
        contexts = encoded.contexts
        shapes["latents of the picture"] = _shape(encoded.image_latents_BCHW)
        shapes["noisy tokens of both halves"] = _shape(*noisy)
        shapes["context tokens of both halves"] = _shape(contexts.background_BNK, contexts.foreground_BNK)

    def noted(name: str, note: Callable[[Any, Any], str]) -> Callable[..., None]:
        return lambda _, given, made: shapes.update({name: note(given, made)})

    module.register_forward_pre_hook(entered)
    module.register_forward_hook(noted("predictions of both halves", lambda _, made: _shape(*made)))
    if fusion is not None:
        fusion.register_forward_hook(noted("fused context", lambda _, made: _shape(made)))
    linear = getattr(network, projection)
    name = f"input projection {list(linear.weight.shape)}"
    linear.register_forward_hook(noted(name, lambda given, made: f"{_shape(given[0])} to {_shape(made)}"))
    for kind, block in {type(block).__name__: block for block in reversed(blocks(network))}.items():
        block.register_forward_hook(noted(f"first {kind}", lambda _, made: f"text and picture tokens {_shape(*made)}"))


# --- the RGBA VAE -------------------------------------------------------------------------------------------------


def _rgba_vae(config: RgbaVaeConfig, source: str | None) -> FirstStep:
    size, number = config.data.size_px, config.batch.micro_batch
    with META:
        vae = widen_vae(vae_without_weights(find_base(config.base), source))
        target = torch.empty(number, 4, size, size)
        judge = PatchDiscriminator() if config.has_adversary else None
        with FlopCounterMode(display=False) as counter:
            coded = RgbaAutoencoder(vae)(target)
            scores = judge(coded.decoded_B4HW) if judge else None
            coded.decoded_B4HW.sum().backward(retain_graph=judge is not None)
    shapes = {"sample: RGBA": _shape(target), "latents": _shape(coded.mean), "decoded": _shape(coded.decoded_B4HW)}
    shapes |= {} if scores is None else {"discriminator's scores": _shape(scores)}
    return FirstStep(shapes, counter.get_total_flops() / 1e12)
