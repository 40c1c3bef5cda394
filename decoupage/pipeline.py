"""LayerDecompositionPipeline: a picture and a mask in, a complete RGBA foreground and the background out.

The order of work, and of random draws, is that of diffusers' FluxFillPipeline, so that without an adapter and in
`batch` mode the background is that pipeline's own picture for the same seed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from diffusers import DiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from decoupage.adapter import AdapterConfig, adapt, auto_maps, make_fusion
from decoupage.bases import find_base
from decoupage.bases.spec import Components, Text
from decoupage.checks import check_finite, check_options, given_masks
from decoupage.contexts import fuse_maps, make_contexts
from decoupage.fusion import MultiModalLatentFusion
from decoupage.images.forms import as_picture
from decoupage.images.sizes import working_geometry
from decoupage.looks import take_off
from decoupage.maps.choose import AutoMaps
from decoupage.output import OUTPUT_TYPES, LayerDecompositionOutput, make_output
from decoupage.preparation import Prepared, stored_maps
from decoupage.prompts import embedded, empty_prompt
from decoupage.rgba_vae import decode_rgba, widen_vae
from decoupage.sequences import Condition, predict_layers
from decoupage.starts import background_start, foreground_start
from decoupage.tiles import in_tiles_if_large

Generator: TypeAlias = "torch.Generator | list[torch.Generator] | None"


class LayerDecompositionPipeline(DiffusionPipeline):
    """Takes pictures apart into layers.

    Args:
        transformer: the adapted network; vae: the base's VAE; vae_rgba: the foreground's.
        text_encoder, ...: None for bases that know no text.
        fusion: fuses the maps; None where the adapter takes none.
        adapter: `AdapterConfig.to_dict()`.

    Attributes:
        make_maps: makes the maps that a call is not given; None = calls go without them.
        card: facts of the folder it was loaded from (`decoupage.publishing.CardFacts`); None = it was not.
        empty_prompt: embedding of the empty prompt, by which calls without one need no text encoders; None = not known.
        load_text: loads the text encoders, when a call gives a prompt and they are not here yet; None = cannot.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->fusion->transformer->vae->vae_rgba"
    _optional_components = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "fusion")

    def __init__(
        self,
        transformer: Any,
        vae: Any,
        vae_rgba: Any,
        scheduler: Any,
        adapter: dict[str, Any],
        text_encoder: Any = None,
        tokenizer: Any = None,
        text_encoder_2: Any = None,
        tokenizer_2: Any = None,
        fusion: MultiModalLatentFusion | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            transformer=transformer,
            vae=vae,
            vae_rgba=vae_rgba,
            scheduler=scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
            fusion=fusion,
        )
        self.register_to_config(adapter=adapter)
        self.adapter = AdapterConfig.from_dict(adapter)
        self.base = find_base(self.adapter.base)
        self.make_maps: AutoMaps | None = None
        self.card: Any = None
        self.empty_prompt: Text | None = None
        self.load_text: Callable[[], Components] | None = None

    # ---- loading

    @classmethod
    def from_base(
        cls, config: AdapterConfig, source: str | None = None, **options: Any
    ) -> "LayerDecompositionPipeline":
        """An adapter at step 0: the base as published, with everything added that training will change.

        Args:
            source: hub id or folder of the base; None = the published one.
            options: for diffusers' `from_pretrained` (`dtype`, ...).
        """
        base = find_base(config.base)
        components = dict(base.load(source, **options))
        network = components[base.network]
        adapt(network, base, config)
        return cls.assembled(components, widen_vae(components["vae"]), make_fusion(base, config), config)

    @classmethod
    def from_pretrained(
        cls,
        folder: Any = None,
        base: str | None = None,
        maps: Literal["auto", "none"] = "auto",
        quantise: str = "none",
        **options: Any,
    ) -> "LayerDecompositionPipeline":
        """Load a published adapter and the base that it belongs to.

        Args:
            folder: folder or hub id of the adapter; None = the small one that is packaged, for trying.
            base: folder or hub id of the base; None = the published one that the adapter names.
            maps: `auto` = calls make the maps that they are not given, by the makers that the adapter names;
                `none` = they go without.
            quantise: weights of network and large text encoder: `none`, `int8`, `nf4` or `fp8`.
            options: of `publishing.load_adapter`, and of diffusers' `from_pretrained` for the base (`dtype`, ...).

        Raises:
            ValueError: a file of the adapter is missing or damaged (named); this machine cannot quantise.
            BadSetup: the weights of a maker of maps are not here; the message says how to get them.
        """
        from decoupage.publishing import load_adapter, shipped_adapter

        if maps not in ("auto", "none"):
            raise ValueError(f"maps must be auto or none, got {maps!r}")
        return cls.of(load_adapter(folder or shipped_adapter(), base, quantise=quantise, **options), maps)

    @classmethod
    def of(cls, loaded: Any, maps: Literal["auto", "none"] = "auto") -> "LayerDecompositionPipeline":
        """A pipeline of a `decoupage.publishing.LoadedAdapter`."""
        pipe = cls.assembled(loaded.components, loaded.vae_rgba, loaded.fusion, loaded.config)
        pipe.make_maps, pipe.card = auto_maps(loaded.config) if maps == "auto" else None, loaded.card
        pipe.empty_prompt, pipe.load_text = loaded.empty_prompt, loaded.load_text
        return pipe

    def save_pretrained(self, folder: Any, card: Any = None) -> None:
        """Write the adapter (not the base) as `decoupage.publishing` lays it out; `card` in the place of its own."""
        from decoupage.publishing import save_adapter

        parts = (self.base, self.transformer, self.adapter, self.fusion, self.vae_rgba)
        save_adapter(folder, *parts, card or self.card, empty_prompt=empty_prompt(self))

    @classmethod
    def assembled(
        cls, components: Mapping[str, Any], vae_rgba: Any, fusion: Any, config: AdapterConfig
    ) -> "LayerDecompositionPipeline":
        """A pipeline of parts that are loaded and adapted already."""
        names = ("transformer", "vae", "scheduler", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
        given = {name: components.get(name) for name in names}
        return cls(**given, vae_rgba=vae_rgba, fusion=fusion, adapter=config.to_dict())

    def enable_tiling(self) -> None:
        """Encode and decode large pictures in tiles, in a fraction of the memory."""
        self.vae.enable_tiling()
        self.vae_rgba.enable_tiling()

    # ---- calling

    @torch.no_grad()
    def __call__(
        self,
        image: Any,
        mask: Any = None,
        layers: Sequence[Any] | None = None,
        prompt: str | Sequence[str] | Text | None = None,
        maps: Mapping[str, Any] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float = 1.0,
        generator: Generator = None,
        max_pixels: int | None = None,
        paste_back: bool = True,
        output_type: str = "pil",
        callback_on_step_end: Callable[..., Any] | None = None,
    ) -> LayerDecompositionOutput:
        """Take one or more pictures apart.

        Args:
            image: one picture or a batch of one size, in any of the forms of `decoupage.images.as_picture`. It is
                numbers: colour profiles and orientation tags are the caller's business, as `decompose` treats them.
            mask: where the object shows, in any of the forms of `as_mask`; one per picture.
            layers: instead of `mask`: masks of several objects of one picture, front to back; each is taken off the
                background that the one before it left.
            prompt: what the picture shows; None as in training. One that is embedded already needs no text encoders.
            maps: edges, segmentation, depth of the picture, any subset, as `decoupage.maps.table` describes them, at
                any resolution. Those that are not given are made, unless the pipeline was loaded with `maps="none"`.
            num_inference_steps: calls of the network; None = as many as the adapter names.
            guidance_scale: embedded guidance; 1.0 as in training. generator: of the noise, one or one per picture.
            max_pixels: larger pictures are worked on scaled down, and the results scaled up again, smaller ones as they
                are; None = all are brought to the area that the adapter was trained on, smaller ones scaled up.
            paste_back: the background keeps the input's pixels outside the mask, grown by 8 px, exactly. Foregrounds
                do not depend on it: where an object shows, its colours are the input's (`decoupage.own_size`).
            output_type: `pil`, `np` (uint8 [B, H, W, C]) or `pt` (float [B, C, H, W] in [0, 1]).
            callback_on_step_end: called with (pipeline, step, timestep, {"background", "foreground"}) of tokens.

        Raises:
            ValueError: no mask, an empty one, one of another size or one that covers the picture; unknown maps or
                output type; another number of anything than of pictures; impossible steps or guidance.
            BadOutput: the network gave values that are not finite.
        """
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type must be one of {', '.join(OUTPUT_TYPES)}, got {output_type!r}")
        picture_BCHW = as_picture(image)
        size = (picture_BCHW.shape[-2], picture_BCHW.shape[-1])
        masks = given_masks(mask, layers, size, len(picture_BCHW))
        num_pictures = max(len(picture_BCHW), len(masks[0]))
        check_options(num_pictures, prompt, num_inference_steps, guidance_scale, generator)
        geometry = working_geometry(size, self.base.pixel_multiple, self.adapter.size_px, max_pixels)
        options = (prompt, num_inference_steps, guidance_scale, generator, callback_on_step_end)
        foregrounds, used, decompose = [], [], lambda prepared: self.decompose(prepared, *options)
        original = left = generated = picture_BCHW.expand(num_pictures, -1, -1, -1)
        for number, one in enumerate(masks):
            one_B1HW, seen = one.expand(len(left), -1, -1, -1), left
            # Given maps are of the input; of what is left behind the first layer only makers know anything.
            stored = stored_maps(seen, maps if number == 0 else None, self.adapter.maps, self.make_maps)
            foreground, left, generated, mask_B1HW = take_off(self.adapter, decompose, seen, one_B1HW, stored, geometry)
            foregrounds.append(foreground)
            used.append(mask_B1HW)
        plate, peeled = left if paste_back else generated, layers is not None
        return make_output(original, plate, foregrounds, masks, used, peeled, output_type)

    @torch.no_grad()
    @in_tiles_if_large
    def decompose(
        self,
        prepared: Prepared,
        prompt: str | Sequence[str] | Text | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float = 1.0,
        generator: Generator = None,
        callback_on_step_end: Callable[..., Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Take pictures apart that are at the model's size already; arguments and errors as for a call.

        Returns:
            (foreground [B, 4, H, W], background [B, 3, H, W]) in [0, 1] at that size, on the CPU; alpha as decoded.
        """
        check_options(len(prepared), prompt, num_inference_steps, guidance_scale, generator)
        device, (height, width) = self._execution_device, prepared.geometry.canvas_px
        text, grid = embedded(self, prompt or "", len(prepared), device), self.base.grid(height, width)
        dtype = text.tokens_BLD.dtype
        # Channels last, as diffusers' image processor leaves them: the same kernels, the same last bits.
        picture = prepared.picture_B3HW.to(device, dtype, memory_format=torch.channels_last)
        masks = (prepared.hole_B1HW.to(device, dtype), prepared.kept_B1HW.to(device, dtype))
        image_latents = self.base.encode(self.vae, picture, generator)

        noise = partial(self._noise, image_latents, generator, dtype)
        background = background_start(self.base, self.vae, picture, masks[0], noise)
        contexts = make_contexts(self.base, self.vae, picture, *masks, self.adapter.foreground_context, generator)
        foreground = foreground_start(self.base, self.vae_rgba, picture, masks[1], noise)
        fused_BND = fuse_maps(self.base, self.vae, self.fusion, image_latents, prepared.maps, grid)
        condition = Condition(contexts, fused_BND, text, grid)
        options = (num_inference_steps or self.adapter.num_inference_steps, guidance_scale, callback_on_step_end)
        background, foreground = self._denoise(background, foreground, condition, *options)
        check_finite(dtype, background_latents=background, foreground_latents=foreground)
        rgb = self.base.decode(self.vae, self.base.unpack(background, height, width))
        rgba = decode_rgba(self.vae_rgba, self.base.unpack(foreground, height, width))
        self.maybe_free_model_hooks()
        check_finite(dtype, background=rgb, foreground=rgba)
        return (rgba.float() * 0.5 + 0.5).clamp(0, 1).cpu(), (rgb.float() * 0.5 + 0.5).clamp(0, 1).cpu()

    def _noise(self, latents: Tensor, generator: Generator, dtype: torch.dtype) -> Tensor:
        return self.base.pack(randn_tensor(latents.shape, generator=generator, device=latents.device, dtype=dtype))

    def _denoise(
        self,
        background: Tensor,
        foreground: Tensor,
        condition: Condition,
        num_steps: int,
        guidance: float,
        callback: Callable[..., Any] | None,
    ) -> tuple[Tensor, Tensor]:
        timesteps = self.base.set_timesteps(self.scheduler, num_steps, background.shape[1], background.device)
        # While it is trained the adapter is in fp32, whatever the base is in.
        fits = getattr(self.transformer, self.base.input_projection).weight.dtype == background.dtype
        mixed = torch.autocast(background.device.type, background.dtype, enabled=not fits)
        with self.progress_bar(total=len(timesteps)) as progress:
            for step, timestep in enumerate(timesteps):
                sigma = timestep.expand(len(background)).to(background.dtype) / 1000
                with mixed:
                    halves = predict_layers(
                        *(self.base, self.transformer, background, foreground, condition, sigma, guidance),
                        mode=self.adapter.mode,
                    )
                # One step for both halves: the scheduler counts its calls.
                both = torch.cat([background, foreground])
                stepped = self.scheduler.step(torch.cat(halves).to(both.dtype), timestep, both, return_dict=False)[0]
                background, foreground = stepped.to(both.dtype).chunk(2)
                if callback is not None:
                    callback(self, step, timestep, {"background": background, "foreground": foreground})
                progress.update()
        return background, foreground
