"""SegFormer: which of its classes each pixel of the composite belongs to, with published weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from decoupage.images.types import Gray, Rgb
from decoupage.maps.config import SegmentationConfig
from decoupage.maps.net import load_net
from decoupage.maps.published import PublishedNet
from decoupage.maps.segmentation import SegmentationMaps


@dataclass(frozen=True)
class Segformer(SegmentationMaps, PublishedNet):
    """The maker of segmentation by SegFormer.

    Pictures are squeezed to a square of `size_px`; labels are a quarter as large, as the net gives.
    Source: Xie et al. 2021, as in transformers.
    """

    model: ClassVar[str] = "segformer"
    section: ClassVar[str] = "maps.segmentation"
    config: SegmentationConfig

    @property
    def id2label(self) -> dict[int, str]:
        """Label -> name of its class. Raises BadSetup as `files`."""
        return {int(label): str(name) for label, name in self.files.config["id2label"].items()}

    def labels(self, pictures_HWC: Sequence[Rgb]) -> list[Gray]:
        """See `SegmentationMaps`: the class with the highest logit."""
        net = load_net("segformer", self.files, self.config.device)
        return net.run(pictures_HWC, self.config.size_px, self.config.batch_size, _most_likely)

    def judge(self, config: dict[str, Any]) -> str:
        """See `PublishedNet`."""
        if config.get("model_type") != "segformer":
            return f"model_type must be segformer, got {config.get('model_type')}"
        names = config.get("id2label")
        # 255 is the label of what has none.
        if not isinstance(names, dict) or not 1 <= len(names) <= 255:
            return f"id2label must name 1 to 255 classes, got {len(names) if isinstance(names, dict) else names}"
        return ""


def _most_likely(output: Any) -> Any:
    import torch

    return output.logits.argmax(dim=1).to(torch.uint8)
