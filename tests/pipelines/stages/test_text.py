"""Text that no file can hold costs the item that brought it, and nothing else."""

import json

import pytest

from decoupage.faults import BadItem, BadSetup
from pipelines.stages.engine import ProcessEngine, SerialEngine
from pipelines.stages.run import Outcome, run_stage
from pipelines.stages.store import Store
from tests.pipelines.stages.test_stage import Noise, contents, make

BAD = "caption \udce9 of a cat"


class Captions(Noise):
    """One bad thing for item 1 of each shard."""

    def __init__(self, what: str, **changes: object) -> None:
        super().__init__(empty="none", **changes)
        object.__setattr__(self, "what", what)

    def task(self, i):
        if i % 5 != 1:
            return Outcome({f"{i:04d}.bin": b"x"}, [{"key": f"{i:04d}", "mean": 0.0}])
        if self.what == "fault":
            raise BadItem("truncated", BAD)
        if self.what == "json":
            return Outcome({f"{i:04d}.json": BAD.encode()})
        outcomes = {
            "row": Outcome({f"{i:04d}.bin": b"x"}, [{"key": BAD, "mean": 0.0}]),
            "member": Outcome({f"{BAD}.bin": b"x"}),
            "long member": Outcome({"x" * 101: b"x"}),
            "asset": Outcome({f"{i:04d}.bin": b"x"}, assets=(BAD,)),
            "drop": Outcome(drops=[{"id": BAD, "reason": "truncated", "detail": "a\x1b[2K\r" + BAD}]),
        }
        return outcomes[self.what]


@pytest.mark.parametrize("engine", [SerialEngine(), ProcessEngine(2)], ids=["serial", "process"])
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        *(("row", "bad_text"), ("member", "bad_name"), ("long member", "bad_name"), ("asset", "bad_text")),
        *(("json", "bad_text"), ("drop", "truncated"), ("fault", "truncated")),
    ],
)
def test_one_item_is_dropped(tmp_path, engine, what, reason):
    report = run_stage(Captions(what), Store(str(tmp_path)), engine)
    assert report.num_items == 12 and report.drops_by_reason == {reason: 3}
    lines = (tmp_path / "quarantine" / "noise.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 3 and all(line.isprintable() for line in lines)
    assert all(json.loads(line)["detail"].isprintable() for line in lines)
    assert run_stage(Captions(what), Store(str(tmp_path)), engine).num_made == 0


def test_a_bad_set_up_in_a_worker_stops_the_run_with_its_sentence(tmp_path, monkeypatch):
    run = Unreadable()
    with pytest.raises(BadSetup, match="library/x does not hash to its record"):
        run_stage(run, Store(str(tmp_path)), ProcessEngine(2))
    assert sorted(path.name for path in (tmp_path / "noise").iterdir()) == [
        *("00000.json", "00000.parquet", "00000.tar", "recipe.json"),
    ]
    make(tmp_path, empty="none")
    make(tmp_path / "whole", empty="none")
    assert contents(tmp_path / "noise") == contents(tmp_path / "whole" / "noise")


class Unreadable(Noise):
    """Noise whose second shard meets a damaged library."""

    def __init__(self) -> None:
        super().__init__(empty="none")

    def task(self, i):
        if i == 7:
            raise BadSetup("library/x does not hash to its record; restore it")
        return super().task(i)
