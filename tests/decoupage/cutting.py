"""A pipeline that only cuts out, in the place of one with networks."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from decoupage.adapter import AdapterConfig
from decoupage.images.blending import recompose
from decoupage.images.masks import as_mask


class CuttingPipeline:
    """Cuts the masks out as they are and fills the holes with gray; remembers what it was asked."""

    calls: list
    adapter = AdapterConfig()
    make_maps = None

    @classmethod
    def from_pretrained(cls, folder, dtype=None, base=None, maps="auto", quantise="none", text=False):
        if not (cls.folder / folder).exists():
            raise FileNotFoundError(f"{folder}/model_index.json is missing")
        cls.loaded = {"folder": folder, "dtype": dtype, "base": base, "maps": maps, "quantise": quantise, "text": text}
        return cls()

    def set_progress_bar_config(self, **options):
        self.loaded["bar"] = options

    def to(self, device):
        self.loaded["device"] = str(device)
        return self

    def __call__(self, image, *, mask=None, layers=None, **options):
        self.calls.append({"mask": mask, "layers": layers, **options})
        picture = np.asarray(image).copy()
        foregrounds = []
        for one in layers or [mask]:
            hard = as_mask(one, picture.shape[:2])[0, 0].numpy() > 0
            foregrounds.append(Image.fromarray(np.dstack([picture, hard.astype(np.uint8) * 255])))
            picture[hard] = 128
        merged = recompose(foregrounds, picture)
        return SimpleNamespace(
            background=[Image.fromarray(picture)],
            foreground=foregrounds,
            recomposition=[Image.fromarray(merged)],
            recomposition_error=[float(np.abs(merged.astype(int) - np.asarray(image)).mean())],
            in_front=[Image.new("RGBA", image.size) for _ in foregrounds],
            mask=[foreground.getchannel("A") for foreground in foregrounds],
        )
