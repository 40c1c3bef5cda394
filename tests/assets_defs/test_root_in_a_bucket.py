"""A root in a bucket: the same shards, scores, pages and decision as in a folder, but for the training in between."""

import json

import dagster as dg
import pytest
import torch

from assets_defs.metadata import NOTHING
from assets_defs.summary import summary
from decoupage import AdapterConfig, LayerDecompositionPipeline
from evaluation.ablations.table import write_table
from evaluation.gate.history import read_history
from evaluation.gate.verdict import champion_is_whole
from pipelines.shards.verify import verify
from pipelines.stages.store import Store
from tests.assets_defs.small import make_base, materializations, run_job, small_profile
from tests.stores import put_up

JUDGED = ("held_out_scenes", "baselines", "evaluation", "report", "champion")
LENIENT = {
    "evaluation__gate__better": "foreground.soft_iou",
    "evaluation__gate__min_gain": "0",
    "evaluation__gate__margins": '{"foreground.soft_iou" = 1.0}',
}


def judge(profile) -> dict[str, dg.AssetMaterialization]:
    with dg.DagsterInstance.ephemeral() as instance:
        selected = [dg.AssetKey(name) for name in JUDGED]
        result = run_job(profile, instance, "evaluate", asset_selection=selected, raise_on_error=True)
        return materializations(result)


@pytest.mark.slow
def test_from_the_sources_to_a_decision(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("DECOUPAGE_CACHE", str(tmp_path / "cache"))
    base = make_base(tmp_path / "base")
    torch.manual_seed(0)
    config = AdapterConfig(base="small-fill", rank=2, num_latents=4, fusion_dim=16, size_px=32)
    pipe = LayerDecompositionPipeline.from_base(config, str(base))
    pipe.save_pretrained(tmp_path / "trained" / "export")
    (tmp_path / "trained" / "export.json").write_text(json.dumps({"recipe": "r", "data": "d"}))
    profiles = [small_profile(root, base, **LENIENT) for root in (tmp_path / "root", f"{s3.bucket()}/some/run")]
    here, there = stores = [Store(profile.root) for profile in profiles]
    for profile, store in zip(profiles, stores, strict=True):
        with dg.DagsterInstance.ephemeral() as instance:
            assert run_job(profile, instance).success
        put_up(tmp_path / "trained", store, "training/adapter")
        made = judge(profile)
        assert made["report"].metadata["report"].value == "/root/report/report.html"
    assert verify([there.root]).ok
    tars = [path for path in here.tree() if path.endswith((".tar", ".parquet"))]
    assert tars and [path for path in there.tree() if path.endswith((".tar", ".parquet"))] == tars
    assert [path for path in tars if there.read(path) != here.read(path)] == []
    for path in ("report/report.json", "report/scores.csv", "report/answer.png", "dataset/README.md"):
        assert there.read(path) == here.read(path), path
    decisions = [[(event.kind, event.champion, event.reasons) for event in read_history(store)] for store in stores]
    assert decisions[0] == decisions[1] and len(decisions[0]) == 1
    assert champion_is_whole(there).passed
    assert write_table(there, profiles[1].evaluation, {}) == write_table(here, profiles[0].evaluation, {})
    assert f"report            {there.url('report/report.html')}" in summary(profiles[1], 1.0)
    assert NOTHING in judge(profiles[1])["evaluation"].metadata
    assert len(read_history(there)) == 1
