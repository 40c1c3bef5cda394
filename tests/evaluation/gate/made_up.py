"""Published adapters of a few bytes, and evaluations of them with made-up scores, in the files' true forms."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from decoupage.publishing.folder import BaseFacts, write_manifest
from evaluation.cases import Entry, list_file, list_sha256
from evaluation.config import EvaluationConfig
from evaluation.gate.decide import Candidate
from evaluation.protocol import protocol_of
from pipelines.checks import CheckResult
from pipelines.stages.store import Store

CLEAN = CheckResult(True, "no picture is in both")
LEVELS = {
    "background.psnr_mask": 20.0,
    "background.psnr_ring": 30.0,
    "background.ssim_mask": 0.8,
    "background.psnr_whole_pasted": 25.0,
    "background.ssim_whole_pasted": 0.9,
    "foreground.soft_iou": 0.8,
    "foreground.soft_iou_hidden": 0.5,
    "foreground.alpha_mse": 0.05,
    "recomposition.psnr_whole": 30.0,
}
NUM_IMAGES = 24
CONFIG = EvaluationConfig(bootstrap_draws=200)


def publish(folder: Path, weights: str) -> Path:
    """A published folder whose weights are this text."""
    (folder / "fusion").mkdir(parents=True, exist_ok=True)
    (folder / "pytorch_lora_weights.safetensors").write_text(weights)
    (folder / "fusion" / "config.json").write_text("{}")
    (folder / "README.md").write_text("a card\n")
    base = BaseFacts(name="small-fill", repo_id="none", licence="apache-2.0")
    write_manifest(folder, kind="adapter", base=base, adapter={}, data_fingerprint="data0")
    return folder


def manifest_of(folder: Path) -> dict:
    return {"base": "small-fill", **json.loads((folder / "adapter.json").read_text())} | {"base": "small-fill"}


def names(num: int = NUM_IMAGES) -> list[str]:
    return [f"{number:08d}-0" for number in range(num)]


def entries(seed: int = 0) -> list[Entry]:
    return [Entry(name, f"{seed}{name}") for name in names()]


def evaluation_files(
    adapter_files: dict[str, str],
    gains: dict[str, float],
    failed: tuple[str, ...] = (),
    list_seed: int = 0,
    num_photographs: int = NUM_IMAGES,
) -> dict[str, bytes]:
    """An evaluation of adapter, base and given mask; the adapter's scores lie this much above the levels.

    A picture's difficulty is common to all, and each method has noise of its own.
    """
    rng = np.random.default_rng(7)
    hard = {name: rng.normal(0, 0.1 * level, NUM_IMAGES) for name, level in LEVELS.items()}
    frames = []
    for method, part in (("base", "background"), ("given_mask", "foreground"), ("adapter", "")):
        noise = np.random.default_rng(len(method))
        frame = {"image": names(), "scene": [name[:8] for name in names()], "method": method}
        frame |= {"photograph": [f"p{number % num_photographs}" for number in range(NUM_IMAGES)], "origin": names()}
        frame["failed"] = [method == "adapter" and name in failed for name in names()]
        for name, level in LEVELS.items():
            own = noise.normal(0, 0.001 * level, NUM_IMAGES)
            found = level + hard[name] + own + (gains.get(name, 0.0) if method == "adapter" else 0.0)
            frame[name] = found if name.startswith(part) else np.full(NUM_IMAGES, np.nan)
        frames.append(pd.DataFrame(frame))
    report = {
        "list_sha256": list_sha256(entries(list_seed)),
        "protocol": protocol_of(CONFIG),
        "settings": CONFIG.model_dump(mode="json"),
        "models": {"adapter": {"base": "small-fill", "files": adapter_files}},
    }
    return {
        "scores.csv": pd.concat(frames).to_csv(index=False, float_format="%.6g").encode(),
        "list.json": json.dumps(list_file(entries(list_seed), {"test_set": "made_up"})).encode(),
        "report.json": json.dumps(report).encode(),
    }


def candidate(root: Path, weights: str, gains: dict[str, float] | None = None, **more) -> Candidate:
    """An adapter in training's place, and its evaluation in the report's."""
    adapter = publish(root / "training" / "adapter" / "export", weights)
    manifest = manifest_of(adapter)
    for name, data in evaluation_files(manifest["files"], gains or {}, **more).items():
        Store(str(root)).write(f"report/{name}", data)
    return Candidate(str(adapter), "report", manifest, {"recipe": f"recipe of {weights}", "data": "data0"})


def better(by: float = 1.0) -> dict[str, float]:
    """Gains on every metric by this share of a tenth of its level; `alpha_mse` falls."""
    return {name: by * level / 10 * (-1 if name.endswith("mse") else 1) for name, level in LEVELS.items()}
