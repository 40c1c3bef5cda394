"""Objects pointed out to networks: masks of boxes and clicks by SAM 2, boxes of words by Grounding DINO.

Both are transformers' own classes with published weights under Apache-2.0 (Ravi et al. 2024, arXiv 2408.00714; Liu et
al. 2023, arXiv 2303.05499), read from a folder or the Hub's cache as safetensors; nothing is downloaded here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from decoupage.faults import BadOutput
from decoupage.images.types import Mask, Rgb
from decoupage.maps.net import whole_model
from decoupage.selection.said import Box, Point, check_points
from decoupage.weights.hub import HubFiles, is_folder, split_revision

SEGMENTER, DETECTOR = "facebook/sam2.1-hiera-small", "IDEA-Research/grounding-dino-tiny"
"""The published weights that the documentation names: small, and their licence lets them be used for anything."""
_SEGMENTER_FILES = ("config.json", "model.safetensors")
_DETECTOR_FILES = (*_SEGMENTER_FILES, "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")
BOX_FROM, WORD_FROM = 0.25, 0.25
"""Scores from which a box counts, and a word as meant by it: those of the detector's authors."""


def _files(option: str, place: str, names: tuple[str, ...]) -> Path:
    """The folder of a network's files. Raises ValueError with what gets them."""
    repo_id, revision = split_revision(place)
    files = HubFiles(repo_id, names, revision, place if is_folder(place) else "")
    folder, fault = files.find(), files.fault()
    if folder is None or fault:
        remedy = f"a folder needs {', '.join(names)}" if files.folder else f"get it with `{files.fix()}`"
        raise ValueError(f"{option} {place}: {fault}; {remedy}")
    return folder


@dataclass(frozen=True)
class Segmenter:
    """SAM 2 on its device: a mask for each box or set of clicks. Load it with `Segmenter.load`."""

    name: str
    model: Any

    @classmethod
    def load(cls, place: str, device: str = "cpu") -> "Segmenter":
        """From a folder or a Hub repository in the cache. Raises ValueError, BadSetup."""
        from transformers import Sam2Model

        return cls(place, whole_model(Sam2Model, _files("--segmenter", place, _SEGMENTER_FILES), device))

    def of_box(self, picture_HW3: Rgb, box: Box) -> Mask:
        """The object [H, W] that a box holds. Raises ValueError as `Box.within`, or where nothing is found."""
        inside = box.within((picture_HW3.shape[0], picture_HW3.shape[1]))
        corners = [inside.left_px, inside.top_px, inside.right_px, inside.bottom_px]
        return self._mask(picture_HW3, f"--box {box}", input_boxes=[[corners]])

    def of_points(self, picture_HW3: Rgb, points: tuple[Point, ...]) -> Mask:
        """The object [H, W] that was clicked. Raises ValueError as `check_points`, or where nothing is found."""
        check_points(points, (picture_HW3.shape[0], picture_HW3.shape[1]))
        places = [[point.x_px + 0.5, point.y_px + 0.5] for point in points]
        labels = [int(point.is_object) for point in points]
        said = " ".join(f"--point {point}" for point in points)
        return self._mask(picture_HW3, said, input_points=[[places]], input_labels=[[labels]])

    def prepared(self, picture_HW3: Rgb) -> tuple[Any, tuple[int, int]]:
        """What the network sees [1, 3, h, w], and its (h, w): a square, so clicks are squeezed as the picture is."""
        rows, columns = _sides(self.model.config.prompt_encoder_config.image_size)
        resized = Image.fromarray(picture_HW3).resize((columns, rows), Image.Resampling.BILINEAR)
        return _normalised(resized).to(self.model.device, self.model.dtype), (rows, columns)

    def _mask(self, picture_HW3: Rgb, said: str, **asked: Any) -> Mask:
        import torch
        from torch.nn import functional

        height, width = picture_HW3.shape[:2]
        pixels, (rows, columns) = self.prepared(picture_HW3)
        scale = torch.tensor([columns / width, rows / height], dtype=torch.float32)
        prompts = {name: torch.tensor(value) for name, value in asked.items()}
        for name in prompts.keys() - {"input_labels"}:
            prompts[name] = prompts[name].float() * scale.repeat(prompts[name].shape[-1] // 2)
        # One click may mean a part or the whole: of three answers the best is taken. More say enough for one answer.
        is_one_click = prompts.get("input_labels", torch.zeros(2)).numel() == 1
        with torch.inference_mode():
            output = self.model(
                pixel_values=pixels,
                **{name: value.to(self.model.device) for name, value in prompts.items()},
                multimask_output=is_one_click,
            )
            best = int(output.iou_scores[0, 0].argmax())
            logits_hw = output.pred_masks[0, 0, best].float()
            if not torch.isfinite(logits_hw).all():
                raise BadOutput(f"{self.name} gave masks that are not finite: get its weights again")
            logits_HW = functional.interpolate(logits_hw[None, None], (height, width), mode="bilinear")[0, 0]
        return checked((logits_HW > 0).cpu().numpy(), said, self.name)


@dataclass(frozen=True)
class Detector:
    """Grounding DINO on its device: the box that words mean. Load it with `Detector.load`."""

    name: str
    model: Any
    processor: Any

    @classmethod
    def load(cls, place: str, device: str = "cpu") -> "Detector":
        """From a folder or a Hub repository in the cache. Raises ValueError, BadSetup."""
        from transformers import AutoTokenizer, GroundingDinoForObjectDetection, GroundingDinoProcessor
        from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
            GroundingDinoImageProcessorPil,
        )

        folder = _files("--detector", place, _DETECTOR_FILES)
        pictures = GroundingDinoImageProcessorPil.from_pretrained(folder, local_files_only=True)
        words = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = whole_model(GroundingDinoForObjectDetection, folder, device)
        return cls(place, model, GroundingDinoProcessor(pictures, words))

    def of_text(self, picture_HW3: Rgb, text: str) -> Box:
        """The box that is likeliest meant, within the picture.

        Raises:
            ValueError: nothing in the picture is likely meant, or the box is the whole picture.
        """
        import torch

        size = (picture_HW3.shape[0], picture_HW3.shape[1])
        # The network was trained on lower-case phrases that end in a full stop.
        phrase = text.strip().lower().rstrip(".") + "."
        asked = self.processor(images=Image.fromarray(picture_HW3), text=phrase, return_tensors="pt")
        with torch.inference_mode():
            output = self.model(**asked.to(self.model.device, self.model.dtype))
        (found,) = self.processor.post_process_grounded_object_detection(
            output, asked["input_ids"], threshold=BOX_FROM, text_threshold=WORD_FROM, target_sizes=[size]
        )
        if not len(found["scores"]):
            raise ValueError(f"--text {text!r}: {self.name} finds nothing like it: try other words, or --box")
        left, top, right, bottom = found["boxes"][int(found["scores"].argmax())].tolist()
        box = Box(*(max(0, round(edge)) for edge in (left, top)), *(round(edge) for edge in (right, bottom)))
        return box.within(size)


def checked(mask_HW: Mask, said: str, name: str) -> Mask:
    """A mask that can be used. Raises ValueError where it is empty or holds the whole picture."""
    if not mask_HW.any():
        raise ValueError(f"{said}: {name} finds no object there")
    if mask_HW.all():
        raise ValueError(f"{said}: {name} takes the whole picture for the object")
    return mask_HW


def _sides(image_size: Any) -> tuple[int, int]:
    """(rows, columns) of a setting that has one number or two."""
    return (image_size, image_size) if isinstance(image_size, int) else (int(image_size[0]), int(image_size[1]))


def _normalised(picture: Image.Image) -> Any:
    """[1, 3, H, W] float32 by ImageNet's mean and deviation, as SAM 2's own processor does (that needs torchvision)."""
    import torch
    from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    values_HW3 = (np.asarray(picture, np.float32) / 255 - IMAGENET_DEFAULT_MEAN) / IMAGENET_DEFAULT_STD
    return torch.from_numpy(values_HW3.astype(np.float32)).permute(2, 0, 1)[None]
