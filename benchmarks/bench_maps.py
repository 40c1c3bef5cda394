"""What maps by nets cost: SegFormer-B5 and Depth-Anything-V2 Small, of real size, with random weights, on a GPU.

    python benchmarks/bench_maps.py [--scenes 256] [--batch-size 32] [--cpu] [--json]

Scenes of the demo's sources at 1024 px go through the product's own stage, from the scene's tar to the map's.

- `*_images_per_s`: the whole stage: reading, decoding, preparing, computing, encoding, writing. The median of three.
- `*_net_images_per_s`: the net alone, on full batches that are on the device. The difference is what feeding costs.
- `*_peak_gb`: the most memory that torch held on the device during the stage, weights included.
- `*_hours_per_100k`: 100,000 composites at `*_images_per_s`, on this one machine; null at a tiny size.

Without a GPU, only `--cpu` runs: the same nets at a tiny size, which shows that the benchmark works, nothing more.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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

from decoupage.maps.depth_anything import DepthAnything
from decoupage.maps.maker import MapMaker
from decoupage.maps.net import Net, load_net
from decoupage.maps.segformer import Segformer
from pipelines.config import DepthConfig, SegmentationConfig
from pipelines.factory import Factory
from pipelines.maps.stage import MapStage
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import run_stage
from pipelines.stages.store import Store
from profiles.profile import load_profile

MEAN_STD = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SEGFORMER_B5 = {
    "depths": [3, 6, 40, 3],
    "hidden_sizes": [64, 128, 320, 512],
    "num_attention_heads": [1, 2, 5, 8],
    "decoder_hidden_size": 768,
    "id2label": {i: str(i) for i in range(150)},
}
DINOV2_SMALL = {
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "image_size": 518,
    "patch_size": 14,
    "out_indices": [3, 6, 9, 12],
    "apply_layernorm": True,
    "reshape_hidden_states": False,
}
REPEATS = 3
SIZES_PX = {"segformer_b5": 640, "depth_anything_v2_small": 518}
TINY_PX = {"segformer_b5": 64, "depth_anything_v2_small": 56}


def save_segformer(folder: Path) -> None:
    """SegFormer-B5 with random weights."""
    SegformerForSemanticSegmentation(SegformerConfig(**SEGFORMER_B5)).save_pretrained(folder)
    SegformerImageProcessorPil(**MEAN_STD).save_pretrained(folder)


def save_depth_anything(folder: Path) -> None:
    """Depth-Anything-V2 Small with random weights."""
    config = DepthAnythingConfig(backbone_config=Dinov2Config(**DINOV2_SMALL))
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    processor = DPTImageProcessorPil(keep_aspect_ratio=True, ensure_multiple_of=14, **MEAN_STD)
    processor.save_pretrained(folder)


def make_segmentation(**values: Any) -> tuple[MapMaker, Callable[[], Net]]:
    """A maker, and what loads its net."""
    model = Segformer(SegmentationConfig(model="segformer", **values))
    return model, lambda: load_net("segformer", model.files, model.config.device)


def make_depth(**values: Any) -> tuple[MapMaker, Callable[[], Net]]:
    """A maker, and what loads its net."""
    model = DepthAnything(DepthConfig(model="depth_anything_v2", **values))
    return model, lambda: load_net("depth_anything", model.files, model.config.device)


NETS = {
    "segformer_b5": (save_segformer, make_segmentation),
    "depth_anything_v2_small": (save_depth_anything, make_depth),
}


def measure(num_scenes: int, batch_size: int, scene_px: int, sizes_px: dict[str, int], device: str) -> dict[str, Any]:
    """Figures by name, with their units."""
    figures: dict[str, Any] = {"num_scenes": num_scenes, "scene_px": scene_px, "batch_size": batch_size}
    figures |= {"cores": len(os.sched_getaffinity(0)), "torch": torch.__version__}
    figures["gpu"] = torch.cuda.get_device_name() if device == "cuda" else "none"
    with tempfile.TemporaryDirectory() as folder:
        factory = make_scenes(folder, num_scenes, scene_px)
        for name, (save, make) in NETS.items():
            weights = Path(folder, "nets", name)
            save(weights)
            values = {"folder": str(weights), "size_px": sizes_px[name], "batch_size": batch_size, "device": device}
            maker, load = make(**values)
            figures[f"{name}_size_px"] = sizes_px[name]
            found = time_stage(factory, maker, num_scenes, device)
            found["net_images_per_s"] = time_net(load(), sizes_px[name], batch_size)
            figures |= {f"{name}_{what}": value for what, value in found.items()}
    return figures


def make_scenes(folder: str, num_scenes: int, scene_px: int) -> Factory:
    """A store with scenes of the demo's sources, in four shards."""
    overrides = {
        "scenes.size_px": str(scene_px),
        "scenes.num_scenes": str(num_scenes),
        "scenes.scenes_per_shard": str(-(-num_scenes // 4)),
        # A 512 px photograph must be enlarged to fill larger scenes; the work for a scene is the same.
        "scenes.size.max_enlargement": "4.0",
        "scenes.max_background_enlargement": "4.0",
    }
    factory = Factory(load_profile("demo", folder, overrides), Store(folder))
    factory.make_library()
    factory.run(factory.scenes)
    return factory


def time_stage(factory: Factory, maker: MapMaker, num_scenes: int, device: str) -> dict[str, float | None]:
    """The whole stage, weights loaded beforehand."""
    maker.pngs([np.zeros((64, 64, 3), np.uint8)])
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for repeat in range(REPEATS):
        stage = MapStage(maker, factory.store, factory.scenes, f"bench/{maker.name}/{repeat}")
        seconds.append(run_stage(stage, factory.store, SerialEngine()).seconds)
    rate = num_scenes / statistics.median(seconds)
    if device != "cuda":
        return {"images_per_s": rate, "hours_per_100k": None, "peak_gb": None}
    peak_gb = torch.cuda.max_memory_allocated() / 1e9
    return {"images_per_s": rate, "hours_per_100k": 100_000 / rate / 3600, "peak_gb": peak_gb}


def time_net(net: Net, size_px: int, batch_size: int) -> float:
    """Images a second of the net alone."""
    inputs = torch.randn(batch_size, 3, size_px, size_px, device=net.device, dtype=net.model.dtype)
    seconds = []
    with torch.inference_mode():
        for _ in range(2 + REPEATS):
            started = time.perf_counter()
            # Reading one value waits for all that was queued.
            next(iter(net.model(pixel_values=inputs).values())).sum().item()
            seconds.append(time.perf_counter() - started)
    return batch_size / statistics.median(seconds[2:])


def main() -> None:
    """Print the figures, one per line or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--cpu", action="store_true", help="a tiny size, without a GPU")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.cpu:
        figures = measure(4, 2, 128, TINY_PX, "cpu")
    elif torch.cuda.is_available():
        figures = measure(arguments.scenes, arguments.batch_size, 1024, SIZES_PX, "cuda")
    else:
        figures = {"gpu": "none", "not_measured": "no GPU; --cpu runs a tiny size"}
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()}
    print(json.dumps(rounded) if arguments.json else "\n".join(f"{name:44} {value}" for name, value in rounded.items()))


if __name__ == "__main__":
    main()
