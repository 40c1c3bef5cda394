"""Sizes in bytes of published weights, so that room can be asked for before anything is fetched.

Only the weights are counted: what comes with them (configurations, vocabularies) is a few megabytes. Sources: file
sizes of the repositories at the commits in brackets, as others recorded them; where none was found, the sum of the
tensors of the published architecture, and a rounded figure where the repository's page gives one.
"""

FILES: dict[tuple[str, str], int] = {
    # Tensors of the architecture, 338,840,928 bytes, and a header.
    ("nvidia/segformer-b5-finetuned-ade-640-640", "model.safetensors"): 339_000_000,
    # [5426e4f0f36572d16453bbda7a8389317b1bef99]
    ("depth-anything/Depth-Anything-V2-Small-hf", "model.safetensors"): 99_173_660,
    # The repository's page: 1.91 GB and 208 MB; they agree with the tensors of the architecture.
    ("lllyasviel/LayerDiffuse_Diffusers", "ld_diffusers_sdxl_attn.safetensors"): 1_910_000_000,
    ("lllyasviel/LayerDiffuse_Diffusers", "ld_diffusers_sdxl_vae_transparent_decoder.safetensors"): 208_000_000,
    # The repository's page: 743 MB.
    ("rootonchair/diffuser_layerdiffuse", "diffuser_layer_xl_transparent_attn.safetensors"): 743_000_000,
    # Rounded: tensors of CLIP's large vision tower in float32.
    ("CompVis/stable-diffusion-safety-checker", "model.safetensors"): 1_216_000_000,
}
"""(repository, file) -> bytes."""

_FLUX_TEXT = 4_994_582_224 + 4_530_066_360 + 246_144_352
_FLUX = 9_983_040_304 + 9_949_328_904 + 3_870_584_832 + _FLUX_TEXT + 167_666_902
MODELS: dict[tuple[str, str], int] = {
    # U-Net, two text encoders, VAE, and an earlier VAE in `vae_1_0`, which the patterns take too
    # [462165984030d82259a11f4367a4eed129e94a7b].
    ("stabilityai/stable-diffusion-xl-base-1.0", "fp16"): 5_135_149_760 + 246_144_152 + 1_389_382_176 + 2 * 167_335_342,
    # Network in three shards, T5 in two, CLIP, VAE. Fill's input projection has 320 more columns of 3,072 in bfloat16.
    ("black-forest-labs/FLUX.1-dev", ""): _FLUX,
    ("black-forest-labs/FLUX.1-Kontext-dev", ""): _FLUX,
    ("black-forest-labs/FLUX.1-Fill-dev", ""): _FLUX + 320 * 3072 * 2,
}
"""(repository, precision) -> bytes of all components in diffusers' layout."""
TEXT: dict[str, int] = {f"black-forest-labs/FLUX.1-{name}": _FLUX_TEXT for name in ("dev", "Kontext-dev", "Fill-dev")}
"""Repository -> bytes of its text encoders, which not everybody needs."""


def told(num_bytes: int | None) -> str:
    """A size for a message: `6.94 GB`, or that it is not known."""
    return "size not known" if num_bytes is None else f"{num_bytes / 1e9:.2f} GB"
