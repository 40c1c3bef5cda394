"""The inpainting base as it is published: one picture, the background, by its publisher's settings.

It has no adapter, no maps and no foreground: half of the work of a decomposition. The order of work, and of random
draws, is that of diffusers' pipelines; tests compare with them. torch is imported when the method is made.
"""

from typing import TYPE_CHECKING, Any

from decoupage.faults import BadOutput
from decoupage.fingerprint import fingerprint
from decoupage.weights.files import hashes
from evaluation.cases import Case
from evaluation.method import BACKGROUND, SAME_AREA, Layers, Method, MethodRecipe
from evaluation.methods.noise import noise_of

if TYPE_CHECKING:
    import torch

    from decoupage.bases.spec import Base, Components, Sampling
    from decoupage.preparation import Prepared

NAME = "base"
VERSION = 3
"""To be raised whenever the same weights would answer the same question otherwise."""


class BaseMethod:
    """A base's own inpainting as a method, without a prompt.

    Noise is seeded by (seed, case), so an image's result depends on nothing but itself.

    Args:
        components: loaded, on their device.
    """

    name, gives = NAME, frozenset([BACKGROUND])

    def __init__(self, base: "Base", components: "Components", seed: int) -> None:
        self._base, self._components, self._seed = base, components, seed

    def __call__(self, case: Case) -> Layers:
        """See `Method`. Nothing is pasted back here: the protocol does that for every method."""
        from decoupage.images.forms import to_uint8
        from decoupage.images.sizes import working_geometry
        from decoupage.preparation import prepare, undo, unit_rgb

        base = self._base
        geometry = working_geometry(case.size, base.pixel_multiple, base.sampling.size_px)
        prepared = prepare(unit_rgb(case.composite), case.mask, {}, geometry)
        picture = inpaint(base, self._components, prepared, base.sampling, noise_of(self._seed, case))
        return Layers(background=to_uint8(undo(picture, geometry))[0])


def inpaint(
    base: "Base", components: "Components", prepared: "Prepared", sampling: "Sampling", generator: "torch.Generator"
) -> "torch.Tensor":
    """The base's own pictures [B, 3, H, W] in [0, 1], on the CPU.

    Where the base takes the picture in sequence it takes no mask.

    Args:
        base: in the form in which it is published (`Base.as_published`).
        components: those that the base loads, on one device.

    Raises:
        BadOutput: values that are not finite.
    """
    import torch
    from diffusers.utils.torch_utils import randn_tensor

    from decoupage.starts import background_start

    network, vae, scheduler = components[base.network], components["vae"], components["scheduler"]
    device, (height, width) = network.device, prepared.geometry.canvas_px
    with torch.no_grad():
        text = base.embed_text(components, [""] * len(prepared), device)
        dtype = text.tokens_BLD.dtype
        picture = prepared.picture_B3HW.to(device, dtype, memory_format=torch.channels_last)
        latents = base.encode(vae, picture, generator)
        hole = prepared.hole_B1HW.to(device, dtype)

        def noise() -> torch.Tensor:
            return base.pack(randn_tensor(latents.shape, generator=generator, device=device, dtype=dtype))

        noisy = background_start(base, vae, picture, hole, noise)
        rows, columns = base.grid(height, width)
        ids = base.ids("background", rows, columns).to(device)
        if base.context == "channel":
            kept = base.pack(base.encode(vae, picture * (1 - hole), generator))
            context, axis = torch.cat([kept, base.pack_mask(hole)], dim=-1), -1
        else:
            context, axis = base.pack(latents), 1
            ids = torch.cat([ids, base.ids("picture", rows, columns).to(device)])
        for timestep in base.set_timesteps(scheduler, sampling.num_steps, noisy.shape[1], device):
            sigma = timestep.expand(len(noisy)).to(dtype) / 1000
            tokens = torch.cat([noisy, context.to(dtype)], dim=axis)
            velocity = base.predict(network, tokens, ids, text, sigma, sampling.guidance)[:, : noisy.shape[1]]
            noisy = scheduler.step(velocity, timestep, noisy, return_dict=False)[0].to(dtype)
        decoded = base.decode(vae, base.unpack(noisy, height, width))
    if not (finite := torch.isfinite(decoded)).all():
        share = 1 - float(finite.float().mean())
        raise BadOutput(
            f"the base gave values that are not finite ({share:.1%} of its picture): its weights are damaged, or do "
            f"not compute in {str(dtype).removeprefix('torch.')}"
        )
    return (decoded.float() * 0.5 + 0.5).clamp(0, 1).cpu()


def base_recipe(name: str, source: str | None, seed: int) -> MethodRecipe:
    """A base by its publisher's settings, whatever is trained on it.

    Args:
        name: as `decoupage.bases.find_base` knows it.
        source: hub id or folder of its weights; None = the published ones.

    Raises:
        ValueError: no such base.
    """
    from decoupage.bases import find_base

    sampling = find_base(name).sampling
    facts = base_facts(name) | {"weights_sha256": base_sha256(name, source), "version": VERSION}
    settings = {
        "num_steps": sampling.num_steps,
        "guidance": sampling.guidance,
        "seed": seed,
        "resolution": SAME_AREA,
        "settings_of": sampling.source,
    }
    gives = frozenset([BACKGROUND])
    return MethodRecipe(NAME, gives, lambda: base_method(name, source, seed), facts, settings, size_px=sampling.size_px)


def base_method(name: str, source: str | None, seed: int) -> Method:
    """A base with its weights, on a GPU where there is one.

    Raises:
        ValueError: no such base, or its weights are not there.
    """
    from decoupage.bases import find_base

    base = find_base(name).as_published
    device, dtype = place()
    components = base.load(source, dtype=dtype)
    for component in components.values():
        if hasattr(component, "parameters"):
            component.to(device)
    return BaseMethod(base, components, seed)


def base_facts(name: str) -> dict[str, Any]:
    """Which base this is, and which one it stands in for, if it is a stand-in."""
    from decoupage.bases import find_base

    base = find_base(name)
    return {"name": name} | ({"stands_in_for": base.stands_in_for} if base.stands_in_for else {})


def base_sha256(name: str, source: str | None) -> str | None:
    """Hash of the base's weights; None if they are not here yet and are downloaded when the method is made."""
    from decoupage.bases import find_base

    model = find_base(name).weights(source)
    folder = model.find()
    return None if folder is None else fingerprint(hashes(folder, model.files()))


def place() -> tuple[str, "torch.dtype"]:
    """(device, dtype) that a model is asked on: a GPU in half precision where there is one."""
    import torch

    on_gpu = torch.cuda.is_available()
    return ("cuda", torch.bfloat16) if on_gpu else ("cpu", torch.float32)
