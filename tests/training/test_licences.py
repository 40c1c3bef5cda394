"""The licences of what a run learns from reach what it exports, and a commercial run takes nothing that forbids it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from decoupage.faults import BadSetup
from pipelines.licences.terms import canonical
from pipelines.packaged.photographs import find
from pipelines.synthetic import FakeScenes, build_dataset
from training import loop
from training.licences import FILE, UNSTATED, Licences, stated_licences
from training.run import RunPlan, run_sources, train

FREE, BOUND = Licences(("apache-2.0",), ("cc0-1.0",)), Licences(("apache-2.0",), ("cc-by-nc-sa-4.0", "cc0-1.0"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_dataset(tmp_path_factory.mktemp("data"), FakeScenes(num_scenes=2)).root


def plan_of(tmp_path: Path, shards: str, **changes: Any) -> RunPlan:
    return RunPlan(**({"recipe": "demo", "out": tmp_path / "run", "data": (shards,)} | changes))


def obstacles(plan: RunPlan) -> list[str]:
    return run_sources(plan).obstacles


def with_licences(root: Path, column: str, *licences: str) -> None:
    """Give the layers of the first shard these licences by turns."""
    path = root / "shards/00000.parquet"
    table = pq.read_table(path)
    named = [licences[row % len(licences)] for row in range(table.num_rows)]
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, [named]), path)


def test_a_permitted_run_is_made_from_nothing_that_forbids_it(tmp_path, shards):
    sources = run_sources(plan_of(tmp_path, shards))
    assert sources.obstacles == [] and sources.licences == FREE


@pytest.mark.parametrize("recipe", ["paper", "small_gpu", "rgba_vae"])
def test_a_base_that_forbids_it_is_refused_before_anything_is_written(tmp_path, shards, recipe):
    vae = tmp_path / "vae"
    vae.mkdir()
    FREE.write(vae)
    given = {} if recipe == "rgba_vae" else {"rgba_vae": str(vae)}
    with pytest.raises(BadSetup, match=r"flux-fill.*flux-1-dev-non-commercial forbids"):
        train(plan_of(tmp_path, shards, recipe=recipe, commercial=True, **given))
    assert not (tmp_path / "run").exists()


def test_weights_in_the_bases_place_are_refused_where_nobody_knows_them(tmp_path, shards):
    assert "unknown" in " ".join(obstacles(plan_of(tmp_path, shards, base=str(tmp_path))))


def test_shards_are_judged_by_what_they_hold(tmp_path):
    root = Path(build_dataset(tmp_path / "data", FakeScenes(num_scenes=2)).root)
    assert canonical("CC0") == "cc0-1.0" and obstacles(plan_of(tmp_path, str(root))) == []
    with_licences(root, "foreground_licence", "CC BY-NC-SA 4.0")
    number = pq.read_table(root / "shards/00000.parquet").num_rows
    (found,) = obstacles(plan_of(tmp_path, str(root)))
    assert f"brings in {number} layers of the shards (cc-by-nc-sa-4.0 forbids" in found
    (root / "shards/00000.parquet").unlink()
    (found,) = obstacles(plan_of(tmp_path, str(root)))
    assert "is missing, so its licences are unknown" in found
    assert run_sources(plan_of(tmp_path, str(root))).licences.data == ("unknown",)


def test_licences_are_named_each_once_by_one_spelling(tmp_path):
    root = Path(build_dataset(tmp_path / "data", FakeScenes(num_scenes=2)).root)
    with_licences(root, "foreground_licence", "CC-BY-NC-SA-4.0 AND cc-by-2.0", "CC BY 2.0", "")
    found = run_sources(plan_of(tmp_path, str(root))).licences.data
    assert found == ("cc-by-2.0", "cc-by-nc-sa-4.0", "cc0-1.0", "unknown")


@pytest.mark.parametrize("given", ["rgba_vae", "warm_start", "resume"])
def test_what_earlier_runs_left_speaks_for_itself(tmp_path, shards, given):
    earlier = tmp_path / "earlier"
    (earlier / "export").mkdir(parents=True)
    (earlier / "checkpoints/00000010").mkdir(parents=True)
    changes = {
        "rgba_vae": {"rgba_vae": str(earlier / "export")},
        "warm_start": {"warm_start": earlier / "checkpoints/00000010"},
        "resume": {"resume": True, "out": earlier},
    }[given]
    plan = plan_of(tmp_path, shards, **changes)
    (found,) = obstacles(plan)
    assert "comes without a licence" in found and "unknown" in run_sources(plan).licences.data
    BOUND.write(earlier)
    (found,) = obstacles(plan)
    assert f"--{given.replace('_', '-')} brings in" in found and "cc-by-nc-sa-4.0 forbids" in found
    assert run_sources(plan).licences == run_sources(replace(plan, resume=False)).licences == BOUND
    FREE.write(earlier)
    assert obstacles(plan) == []


def test_a_damaged_statement_is_named(tmp_path):
    for damaged in (b'{"base": []}', b"", b"\xff", b"[" * 99_999, b'{"base": "cc0", "data": []}'):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(ValueError, match=r"licences\.json is damaged"):
            stated_licences(tmp_path)
    assert UNSTATED.data == ("unknown",)


def test_photographs_for_a_base_are_named_by_their_packages_or_beside_them(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("one", "two"):
        shutil.copyfile(find("coffee").path, folder / f"{name}.png")
    plan = plan_of(tmp_path, "", recipe="small_base", data=(str(folder),))
    assert len(obstacles(plan)) == 2 and "the photograph one (an unknown licence is not known" in obstacles(plan)[0]
    columns = "file,origin,licence,attribution,caption,rotation_deg_ccw"
    (folder / "attribution.csv").write_text(f"{columns}\none.png,one,cc0-1.0,me,,0\ntwo.png,two,CC BY-NC 4.0,me,,0\n")
    (found,) = obstacles(plan)
    assert "the photograph two (cc-by-nc-4.0 forbids" in found
    packaged = run_sources(plan_of(tmp_path, "", recipe="small_base", data=()))
    assert packaged.obstacles == [] and packaged.licences == Licences((), ("cc0-1.0", "public-domain"))


def test_from_shards_over_the_rgba_vae_to_the_adapter(tmp_path, monkeypatch):
    """MULAN's licence is in the VAE's shards alone, and binds the adapter that is made with the VAE."""
    bound, free = (Path(build_dataset(tmp_path / name, FakeScenes(num_scenes=8)).root) for name in ("bound", "free"))
    with_licences(bound, "foreground_licence", "CC BY-NC-SA 4.0 AND CC BY 2.0")
    few = {
        "data.size_px": 64,
        "schedule.num_steps": 1,
        "schedule.warmup_steps": 0,
        "optimiser.learning_rate": 1e-6,
        "batch.micro_batch": 2,
        "data.validation_share": 0.3,
        "data.num_validation": 2,
        "compute.loader_workers": 0,
    }
    vae = plan_of(tmp_path, str(bound), recipe="small_rgba_vae", out=tmp_path / "vae", changes=few, device="cpu")
    train(vae)
    stated = json.loads((tmp_path / "vae/export" / FILE).read_text())
    assert stated == {"base": ["apache-2.0"], "data": ["cc-by-2.0", "cc-by-nc-sa-4.0", "cc0-1.0"]}
    assert "cc-by-nc-sa-4.0" in (tmp_path / "vae/export/README.md").read_text()
    few |= {"adapter.rank": 2, "data.recolour_share": 0.0}
    made = plan_of(tmp_path, str(free), rgba_vae=str(tmp_path / "vae/export"), changes=few, device="cpu")
    train(made)
    manifest = json.loads((tmp_path / "run/export/adapter.json").read_text())
    assert manifest["data_licences"] == stated["data"]
    assert "| training data | cc-by-nc-sa-4.0 |" in (tmp_path / "run/export/README.md").read_text()
    assert stated_licences(tmp_path / "run/checkpoints/0000001") == Licences(("apache-2.0",), tuple(stated["data"]))
    # Whoever is to read a published folder can: the files are not their owner's alone.
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.safetensors")}
    assert modes == {(tmp_path / "vae").stat().st_mode & 0o666}
    monkeypatch.setattr(loop, "fit", lambda *given: SimpleNamespace(status="interrupted"))
    with pytest.raises(BadSetup, match=r"--rgba-vae brings in .* \(cc-by-nc-sa-4\.0 forbids"):
        train(plan_of(tmp_path, str(free), rgba_vae=str(tmp_path / "vae/export"), commercial=True, out=tmp_path / "c"))
