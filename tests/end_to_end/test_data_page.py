"""docs/data.md, walked from an empty folder: its commands for the profile `paper`, as printed, in miniature.

Sources have their published formats. What the network gives comes from 127.0.0.1 and from stand-ins for `hf`, `curl`,
`unar` and `unzip`; environment variables make numbers small. Everything else is the page's.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from profiles.profile import load_profile
from tests.conftest import CHECKOUT
from tests.miniature import GONE, LAION, TRAIN, VAL, World, small_world
from tests.publishers import install, publish

DISK = "/large/disk"
"""On the page, where a reader fills in a disk."""
PAGES_OWN = ("mulan.annotations", "mulan.images", "mulan.coco.download", "mulan.coco.info")
"""Settings of the small world that the page has its own way to."""
FOUND = "found.json"


@dataclass(frozen=True)
class Walk:
    """What came of it: each line with its exit status, in order, and all that was printed."""

    checkout: Path
    root: Path
    statuses: list[tuple[str, int]]
    printed: str

    def missing(self) -> set[str]:
        """What the doctor missed once all was fetched."""
        return set(json.loads((self.checkout / FOUND).read_text())["missing"])


def page_lines() -> list[str]:
    """The commands of the section that goes to 100,000 triplets, each in one line."""
    page = (CHECKOUT / "docs" / "data.md").read_text()
    section = page[page.index("## 100,000 triplets") : page.index("## What it takes")]
    blocks = re.findall(r"```sh[^\n]*\n(.*?)```", section, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    # Once the weights are here, and before anything is made: what is still missing then?
    at = next(number for number, line in enumerate(lines) if line == "decoupage scenes make")
    return [*lines[:at], f"decoupage doctor --json > {FOUND}", *lines[at:]]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("page")
    checkout, disk = folder / "checkout", folder / "disk"
    checkout.mkdir()
    shutil.copy(CHECKOUT / "dagster.yaml", checkout)
    install(folder / "programs")
    with small_world(folder / "world") as world:
        publish(folder / "published", world.hub, *published(world))
        overrides = {name: text for name, text in world.overrides(Path()).items() if name not in PAGES_OWN}
        overrides["generated.dtype"] = "bfloat16"  # From the files in half precision.
        last = load_profile("paper", str(disk), overrides).scenes.num_shards - 1
        lines = page_lines()
        told = [line.replace(DISK, str(disk)).replace("00099", f"{last:05d}") for line in lines]
        script = "".join(f'{line}\necho "@@ {number} $?"\n' for number, line in enumerate(told))
        run = subprocess.run(
            ["bash"],
            input=script,
            cwd=checkout,
            env=environment(folder, overrides),
            capture_output=True,
            text=True,
            check=False,
        )
    statuses = re.findall(r"^@@ (\d+) (\d+)$", run.stdout, re.MULTILINE)
    assert len(statuses) == len(lines), run.stderr
    found = [(lines[int(number)], int(status)) for number, status in statuses]
    return Walk(checkout, disk / "paper", found, f"{run.stdout}\n{run.stderr}")


def published(world: World) -> tuple[Iterable[Path], dict[str, bytes], Iterable[Path]]:
    """MULAN's annotations, COCO's photographs by half and name, and COCO's annotation files."""
    content = world.files.content.items()
    photographs = {path.removeprefix("coco/"): data for path, data in content if path.startswith("coco/")}
    return (world.folder / "annotations").iterdir(), photographs, (world.folder / "coco").glob("*.json")


def environment(folder: Path, overrides: dict[str, str]) -> dict[str, str]:
    """A fresh machine's: stand-in programs first, an empty cache of the Hub, no keys, and the small numbers."""
    mine = {name: text for name, text in os.environ.items() if not name.startswith(("DECOUPAGE_", "HF_", "OPENAI_"))}
    small = {f"DECOUPAGE__{name.upper().replace('.', '__')}": text for name, text in overrides.items()}
    hub = {"HF_HOME": str(folder / "hf"), "HF_HUB_CACHE": str(folder / "hf" / "hub"), "HF_HUB_OFFLINE": "1"}
    path = f"{folder / 'programs'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    local = {"PATH": path, "PYTHONPATH": str(CHECKOUT), "PUBLISHERS": str(folder / "published")}
    return {**mine, **small, **hub, **local, "OMP_NUM_THREADS": "1"}


def test_every_line_works_as_printed(walk: Walk) -> None:
    failed = [line for line, status in walk.statuses if status]
    # The doctor at the start misses what is fetched next, the one before the work what training alone wants.
    assert failed == ["decoupage doctor", f"decoupage doctor --json > {FOUND}"], walk.printed


def test_once_all_is_fetched_the_doctor_misses_what_training_alone_wants(walk: Walk) -> None:
    # The machine that the test runs on may have a small disk.
    lpips = {"rgba_vae.perceptual/packages", "rgba_vae.perceptual/weights"}
    assert {name for name in walk.missing() if "disk" not in name} == {"weights", "HF_TOKEN", *lpips}


def test_of_mulans_archive_the_coco_part_is_taken(walk: Walk) -> None:
    taken = {path.name.partition(".")[0] for path in (walk.checkout / "data/sources/mulan").rglob("*.p.zl")}
    assert taken == {*TRAIN, *VAL, GONE} and LAION not in taken


def test_shards_verify_and_dagster_adds_card_leak_check_and_held_out_scenes(walk: Walk) -> None:
    assert "2 shards, 6 scenes, 0 faults" in walk.printed
    assert (walk.root / "dataset" / "README.md").is_file()
    assert (walk.root / "held_out" / "shards" / "00000.json").is_file()
    with dg.DagsterInstance.from_config(str(walk.checkout / "data" / "dagster")) as instance:
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
        kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
        logged = [entry for run in instance.get_runs() for entry in instance.all_logs(run.run_id, of_type=kind)]
    checks = [entry.get_dagster_event().asset_check_evaluation_data for entry in logged]
    assert {"no_leak", "no_origin_in_both_splits"} <= {check.check_name for check in checks if check.passed}
    assert (walk.checkout / "data/dagster/dagster.yaml").resolve() == walk.checkout / "dagster.yaml"
