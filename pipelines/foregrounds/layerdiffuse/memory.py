"""How many pictures are painted at once.

The rule, where the profile leaves it open: what is free on the GPU, counting what this process holds there already,
less the weights and less the room to decode one picture, divided by what a picture takes while the network runs.
The figures are upper estimates from the networks' shapes; `benchmarks/bench_layerdiffuse.py` measures the real ones.
A batch that does not fit after all is halved (`generator.py`).
"""

from pipelines.foregrounds.layerdiffuse.settings import Family, Settings

MOST = 32
"""Above this a GPU is busy anyway, and a kill would cost more pictures."""
WEIGHTS_GB: dict[Family, float] = {"sdxl": 7.5, "flux": 34.5}
"""16-bit; with float32 twice as much."""
DECODING_GB = 6.0
"""Of one picture of a megapixel: the VAE's widest features, and four views of the transparent decoder."""
PICTURE_GB: dict[Family, float] = {"sdxl": 1.5, "flux": 2.0}
"""Of one picture of a megapixel in the network; on SDXL both halves of the guidance."""


def fitting_batch(settings: Settings) -> int:
    """The profile's batch size, or what the rule above gives; 1 where there is no GPU."""
    if settings.batch_size:
        return settings.batch_size
    import torch

    if settings.device == "cpu" or not torch.cuda.is_available():
        return 1
    free_bytes, _ = torch.cuda.mem_get_info(settings.device)
    held_bytes = torch.cuda.memory_reserved(settings.device)
    return pictures_in((free_bytes + held_bytes) / 1e9, settings)


def pictures_in(free_gb: float, settings: Settings) -> int:
    """How many pictures a GPU with so much free memory takes at once, in [1, `MOST`]."""
    megapixels = settings.height_px * settings.width_px / 1e6
    width = 2 if settings.dtype == "float32" else 1
    room_gb = free_gb - width * (WEIGHTS_GB[settings.family] + DECODING_GB * megapixels)
    return min(max(int(room_gb / (width * PICTURE_GB[settings.family] * megapixels)), 1), MOST)
