"""Tiny nets with random weights, saved in the published layout, and the profile's sections that name them."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    SegformerConfig,
    SegformerForSemanticSegmentation,
)
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

from pipelines.config import DepthConfig, MapsConfig, SegmentationConfig

CLASSES = {0: "wall", 1: "sky", 2: "tree"}
SIZE_PX = {"segformer": 64, "depth_anything": 56}


def save_segformer(folder: Path, **changes: Any) -> Path:
    """A SegFormer of three classes, prepared as the published one is."""
    torch.manual_seed(0)
    config = SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
        **{"id2label": CLASSES, "decoder_hidden_size": 16} | changes,
    )
    model = SegformerForSemanticSegmentation(config).eval()
    # The random classifier of so small a net gives one class everywhere; a steeper one tells pixels apart.
    with torch.no_grad():
        model.decode_head.classifier.weight.mul_(50.0)
    model.save_pretrained(folder)
    SegformerImageProcessorPil(size={"height": 512, "width": 512}).save_pretrained(folder)
    return folder


def save_depth_anything(folder: Path, **changes: Any) -> Path:
    """A Depth-Anything on a DINOv2 of four layers, prepared as the published one is."""
    torch.manual_seed(1)
    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=56,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=8,
        head_hidden_size=8,
        **changes,
    )
    model = DepthAnythingForDepthEstimation(config).eval()
    # Random weights give almost nothing. Larger ones tell pixels apart, above the last ReLU's zero.
    with torch.no_grad():
        for name, values in model.named_parameters():
            if name.startswith(("neck", "head")) and values.ndim > 1:
                values.mul_(8.0)
        model.head.conv3.weight.abs_()
        model.head.conv3.bias.fill_(1.0)
    model.save_pretrained(folder)
    DPTImageProcessorPil(
        size={"height": 518, "width": 518},
        ensure_multiple_of=14,
        keep_aspect_ratio=True,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(folder)
    return folder


def segmentation(folder: Path | str, **changes: Any) -> SegmentationConfig:
    """`[maps.segmentation]` with a net of `save_segformer`."""
    values = {"folder": str(folder), "size_px": SIZE_PX["segformer"], "batch_size": 3, "device": "cpu"}
    return SegmentationConfig(model="segformer", **values | changes)


def depth(folder: Path | str, **changes: Any) -> DepthConfig:
    """`[maps.depth]` with a net of `save_depth_anything`."""
    values = {"folder": str(folder), "size_px": SIZE_PX["depth_anything"], "batch_size": 3, "device": "cpu"}
    return DepthConfig(model="depth_anything_v2", **values | changes)


def both(root: Path, **changes: Any) -> MapsConfig:
    """Sections of both nets, saved under a root."""
    return MapsConfig(
        segmentation=segmentation(save_segformer(root / "segformer"), **changes),
        depth=depth(save_depth_anything(root / "depth"), **changes),
    )


def set_config(folder: Path, **changes: Any) -> None:
    """Change keys of a saved net's `config.json`."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
