"""The gate from files to a recorded decision: promoted, refused, judged anew, rolled back, killed in between."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from decoupage.faults import BadSetup
from evaluation.config import GateConfig
from evaluation.gate.champions import alone, keep, rollback
from evaluation.gate.decide import Candidate, decide
from evaluation.gate.history import CURRENT, current_version, read_history
from evaluation.gate.verdict import champion_is_whole, decided_for_a_reason, demand_rows, verdict
from evaluation.methods.models import adapter_licences
from evaluation.saved_scores import read_scores
from pipelines.checks import CheckResult
from pipelines.commercial import weights_obstacles
from pipelines.stages.store import Store
from tests.evaluation.gate.made_up import (
    CLEAN,
    CONFIG,
    better,
    candidate,
    evaluation_files,
    manifest_of,
    names,
    publish,
)


def nobody(folder):
    raise AssertionError(f"{folder} was judged anew without need")


def ask(root, of, leaks=CLEAN, rescore=nobody, config=CONFIG, forbidden=(), start=None):
    return decide(Store(str(root)), of, config, leaks, forbidden, rescore, "demo", start)


@pytest.fixture
def first(tmp_path):
    """A root with a first champion."""
    event = ask(tmp_path, candidate(tmp_path, "first", better()))
    assert event.kind == "promoted"
    return tmp_path


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_first_adapter_must_beat_base_and_given_mask(tmp_path):
    refused = ask(tmp_path, candidate(tmp_path, "no better than the base"))
    assert refused.kind == "refused" and refused.champion is None
    assert [reason for reason in refused.reasons if reason.startswith("not better: background.psnr_mask")]
    assert not (tmp_path / CURRENT).exists()
    promoted = ask(tmp_path, candidate(tmp_path, "better", better()))
    assert (promoted.kind, promoted.champion, promoted.before) == ("promoted", "v0001", None)
    against = {line["metric"]: line["against"] for line in promoted.details["lines"]}
    assert against["background.psnr_mask"] == "base" and against["foreground.soft_iou"] == "given_mask"
    assert against["recomposition.psnr_whole"] == ""


def test_what_training_starts_from_is_the_first_champion_and_has_to_be_surpassed(tmp_path):
    published = publish(tmp_path / "packaged", "packaged")
    start = Candidate(str(published), "", manifest_of(published), {})
    judged = []

    def rescore(folder):
        judged.append(folder)
        return evaluation_files(start.manifest["files"], better())

    assert ask(tmp_path, candidate(tmp_path, "no better than the base")).champion is None
    refused = ask(tmp_path, candidate(tmp_path, "as good", better()), rescore=rescore, start=start)
    assert (refused.kind, refused.champion, judged) == ("refused", "v0000", [str(published)])
    _, begun, _ = read_history(Store(str(tmp_path)))
    assert (begun.kind, begun.champion, begun.weights_sha256) == ("begun", "v0000", start.weights_sha256)
    assert champion_is_whole(Store(str(tmp_path))).passed
    promoted = ask(tmp_path, candidate(tmp_path, "better", better(2.0)), start=start)
    assert (promoted.kind, promoted.champion, promoted.before, len(judged)) == ("promoted", "v0001", "v0000", 1)
    assert rollback(Store(str(tmp_path))).champion == "v0000"


def test_with_three_photographs_a_first_one_is_promoted_by_its_mean_and_none_after_it(tmp_path):
    refused = ask(tmp_path, candidate(tmp_path, "worse than the base", better(-1.0), num_photographs=3))
    assert refused.kind == "refused" and refused.reasons[0].startswith("undecided (too few photographs: 3): ")
    assert "the mean must exceed +0.10 dB (spread of seeds not measured" in refused.reasons[0]
    promoted = ask(tmp_path, candidate(tmp_path, "first", better(), num_photographs=3))
    assert promoted.kind == "promoted" and decided_for_a_reason(promoted).passed
    assert "none, as the first champion; undecided (too few photographs: 3): background.psnr_mask" in verdict(promoted)
    assert demand_rows(promoted)[0]["met"] == "undecided; met by the mean"
    assert demand_rows(promoted)[0]["of"] == "24 images, 3 photographs, 24 origins"
    after = ask(tmp_path, candidate(tmp_path, "second", better(2.0), num_photographs=3))
    assert (after.kind, after.champion) == ("refused", "v0001")
    assert all(reason.startswith("undecided (too few photographs: 3): ") for reason in after.reasons)
    assert demand_rows(after)[0]["met"] == "undecided" and decided_for_a_reason(after).passed


def test_every_candidate_faces_the_base_first_and_then_the_champion(first):
    """The next champion must beat the base, too: on a new list, or by new settings, the last one may not have."""
    event = ask(first, candidate(first, "much better", better(2.0)))
    assert event.kind == "promoted"
    lines = event.details["lines"]
    half = len(lines) // 2
    assert {line["against"] for line in lines[:half]} == {"base", "given_mask", ""}
    assert {line["against"] for line in lines[half:]} == {"v0001"}
    for metric in ("background.psnr_ring", "background.ssim_mask"):
        assert [line["against"] for line in lines if line["metric"] == metric] == ["base", "v0001"]
    spoilt = better(4.0) | {"background.psnr_ring": -1.68}
    event = ask(first, candidate(first, "better inside, worse around", spoilt))
    assert (event.kind, event.champion) == ("refused", "v0002")
    assert event.reasons[0].startswith("worse: background.psnr_ring gains -1.68 dB over base")
    assert not [reason for reason in event.reasons if "ssim" in reason or "psnr_mask" in reason]


def test_a_retrain_is_not_promoted_by_luck(first):
    """The table of ablations says how far apart seeds are; a gain below that is the champion's own recipe again."""
    again = candidate(first, "lucky", better(1.1))
    spread = {"background.psnr_mask": 0.1}
    terms = read_scores(Store(str(first)), "report", "adapter").terms
    seeds = {"rows": ["paper", "seed_1", "seed_2"], "recipes": [again.identity["recipe"]], "terms": terms}
    Store(str(first)).write("ablations/table.json", json.dumps({"seeds": {**seeds, "spread": spread}}).encode())
    event = ask(first, again)
    assert event.kind == "refused" and event.details["seeds"]["spread"] == spread
    assert any(
        reason.startswith("not better: background.psnr_mask gains +0.20 dB over v0001")
        and reason.endswith("of which the mean must exceed +0.61 dB (the effect of another seed, from 3 trainings)")
        for reason in event.reasons
    )
    assert demand_rows(event)[0]["margin"] == "0.430265"
    # Where it is not measured, the profile's own number decides.
    Store(str(first)).remove("ablations/table.json")
    assert ask(first, again).kind == "promoted"


def test_a_promotion_keeps_weights_scores_and_fingerprints(first):
    (event,) = read_history(Store(str(first)))
    pointer = json.loads((first / CURRENT).read_text())
    assert pointer["version"] == "v0001" and pointer["weights_sha256"] == event.weights_sha256
    kept, source = first / pointer["adapter"], first / "training" / "adapter" / "export"
    assert files_below(kept) == files_below(source)
    # A new export that is written over the old one, in place, does not reach the champion.
    for path in kept.rglob("*"):
        assert path.is_dir() or not path.samefile(source / path.relative_to(kept))
    assert event.details["candidate"]["identity"] == {"recipe": "recipe of first", "data": "data0"}
    assert event.details["candidate"]["data_fingerprint"] == "data0"
    assert event.details["num_images"] == 24 and len(event.details["list_sha256"]) == 64
    folder = next((first / "champion" / "v0001" / "scores").iterdir())
    assert read_scores(Store(str(first)), str(folder.relative_to(first)), "adapter").images == tuple(names())


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        (better(0.5), "worse: background.psnr_whole_pasted"),
        (better(1.0), "not better: background.psnr_mask"),
        ({**better(2.0), "foreground.soft_iou": 0.0}, "worse: foreground.soft_iou"),
    ],
    ids=["worse", "equal", "better on the chosen one, worse on another"],
)
def test_what_is_not_better_is_refused_and_the_champion_stays(first, gains, said):
    before = files_below(first / "champion" / "v0001")
    event = ask(first, candidate(first, "second", gains))
    assert (event.kind, event.champion) == ("refused", "v0001")
    assert [reason for reason in event.reasons if reason.startswith(said)]
    assert json.loads((first / CURRENT).read_text())["version"] == "v0001"
    assert files_below(first / "champion" / "v0001") == before and not (first / "champion" / "v0002").exists()
    assert decided_for_a_reason(event).passed
    assert verdict(event).startswith("Refused: v0001 stays; ") and said in verdict(event)
    assert "NO" in [row["met"] for row in demand_rows(event)]


def test_a_better_one_is_promoted_and_both_stay_on_disk(first):
    event = ask(first, candidate(first, "second", better(2.0)))
    assert (event.kind, event.champion, event.before) == ("promoted", "v0002", "v0001")
    assert json.loads((first / CURRENT).read_text())["adapter"] == "champion/v0002/adapter"
    weights = [(first / "champion" / v / "adapter" / "pytorch_lora_weights.safetensors") for v in ("v0001", "v0002")]
    assert [path.read_text() for path in weights] == ["first", "second"]
    assert decided_for_a_reason(event).passed and champion_is_whole(Store(str(first))).passed
    assert verdict(event) == "Promoted: v0002 replaces v0001"


def test_the_champion_itself_is_not_better_and_asking_again_adds_nothing(first):
    same = candidate(first, "first", better())
    event = ask(first, same)
    assert event.kind == "refused" and event.reasons[0].startswith("not better: background.psnr_mask gains +0.00")
    assert ask(first, same) == event
    assert [found.kind for found in read_history(Store(str(first)))] == ["promoted", "refused"]


def test_a_licence_against_it_refuses_whatever_the_scores(first):
    stated = weights_obstacles(("apache-2.0", "cc0-1.0", "CC BY-NC-SA 4.0 AND CC BY 2.0", "unknown"), commercial=True)
    event = ask(first, candidate(first, "second", better(2.0)), forbidden=stated)
    assert event.kind == "refused" and len(event.reasons) == 2
    assert event.reasons[0].startswith("licence: ") and "cc-by-nc-sa-4.0 forbids commercial use" in event.reasons[0]
    assert "an unknown licence is not known to permit commercial use" in event.reasons[1]
    assert weights_obstacles(("unknown",), commercial=False) == []
    # An adapter that names no licence of its data permits nothing.
    assert adapter_licences(str(first / "training" / "adapter" / "export")) == ("apache-2.0", "unknown")
    assert ask(first, candidate(first, "second", better(2.0))).kind == "promoted"


def test_leaks_and_missing_outputs_refuse_whatever_the_scores(first):
    leak = CheckResult(False, "2 pictures are in both")
    event = ask(first, candidate(first, "second", better(2.0)), leaks=leak)
    assert event.kind == "refused" and event.reasons == ("leak: 2 pictures are in both",)
    event = ask(first, candidate(first, "second", better(2.0), failed=(names()[3],)))
    assert event.kind == "refused" and event.reasons[0].startswith("missing outputs: 1 of 24")
    assert ask(first, candidate(first, "second", better(2.0))).kind == "promoted"


def test_on_another_list_the_champion_is_judged_anew_once(first):
    asked = []

    def rescore(folder):
        asked.append(folder)
        files = json.loads((Path(folder) / "adapter.json").read_text())["files"]
        return evaluation_files(files, better(1.0), list_seed=1)

    second = candidate(first, "second", better(1.0), list_seed=1)
    assert ask(first, second, rescore=rescore).kind == "refused"
    assert asked == [str(first / "champion" / "v0001" / "adapter")]
    third = candidate(first, "third", better(2.0), list_seed=1)
    assert ask(first, third).kind == "promoted"


def test_a_list_that_changed_after_the_report_is_a_wrong_set_up(first):
    second = candidate(first, "second", better(2.0), list_seed=1)
    files = evaluation_files({}, better(1.0), list_seed=2)
    with pytest.raises(BadSetup, match="the list has changed"):
        ask(first, second, rescore=lambda folder: files)
    assert len(list((first / "champion" / "v0001" / "scores").iterdir())) == 1


def test_a_report_of_other_weights_is_not_believed(first):
    second = candidate(first, "second", better(2.0))
    other = replace(second, manifest={**second.manifest, "files": {"x": "y"}})
    with pytest.raises(BadSetup, match="judges other weights"):
        ask(first, other)


@pytest.mark.parametrize("name", ["scores.csv", "list.json", "report.json"])
def test_damaged_evaluations_are_refused_before_anything_is_decided(first, name):
    second = candidate(first, "second", better(2.0))
    path = first / "report" / name
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
    with pytest.raises(BadSetup, match=r"evaluate (again|it)"):
        ask(first, second)
    assert len(read_history(Store(str(first)))) == 1


def test_weights_that_change_while_they_are_taken_in_are_noticed(first):
    second = candidate(first, "second", better(2.0))
    (Path(second.adapter) / "pytorch_lora_weights.safetensors").write_text("third")
    with pytest.raises(ValueError, match="sha256 differs"):
        ask(first, second)
    assert current_version(read_history(Store(str(first)))) == "v0001" and not (first / "champion" / "v0002").exists()


def test_rollback_goes_back_and_the_gate_does_not_undo_it(first):
    store = Store(str(first))
    second = candidate(first, "second", better(2.0))
    ask(first, second)
    event = rollback(store, why="halos around hair")
    assert (event.kind, event.champion, event.before, event.reasons) == (
        "rolled_back",
        "v0001",
        "v0002",
        ("halos around hair",),
    )
    assert json.loads((first / CURRENT).read_text())["version"] == "v0001"
    again = ask(first, second)
    assert again.kind == "refused" and "a person rolled back" in again.reasons[0] and "halos" in again.reasons[0]
    # A third adapter has to beat the first one now, and takes a name of its own.
    assert ask(first, candidate(first, "third", better(1.5))).champion == "v0003"
    assert rollback(store, to="v0002").champion == "v0002"
    assert (first / "champion" / "v0002" / "adapter" / "README.md").is_file()


def test_rollback_says_what_it_cannot_do(tmp_path):
    store = Store(str(tmp_path))
    with pytest.raises(BadSetup, match="there is no champion"):
        rollback(store)
    ask(tmp_path, candidate(tmp_path, "first", better()))
    with pytest.raises(BadSetup, match="there is none before it"):
        rollback(store)
    with pytest.raises(ValueError, match="known: v0001"):
        rollback(store, to="v0007")
    with pytest.raises(ValueError, match="already"):
        rollback(store, to="v0001")
    ask(tmp_path, candidate(tmp_path, "second", better(2.0)))
    weights = tmp_path / "champion" / "v0001" / "adapter" / "pytorch_lora_weights.safetensors"
    weights.write_text("damaged")
    with pytest.raises(ValueError, match="sha256 differs"):
        rollback(store)
    assert current_version(read_history(store)) == "v0002"


def test_killed_between_weights_and_record_the_old_one_stays_and_the_next_try_is_whole(first, monkeypatch):
    second = candidate(first, "second", better(2.0))

    def killed(*arguments):
        keep(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr("evaluation.gate.decide.keep", killed)
    with pytest.raises(KeyboardInterrupt):
        ask(first, second)
    assert (first / "champion" / "v0002").is_dir() and current_version(read_history(Store(str(first)))) == "v0001"
    monkeypatch.undo()
    other = candidate(first, "another", better(2.0))
    assert ask(first, other).champion == "v0002"
    weights = first / "champion" / "v0002" / "adapter" / "pytorch_lora_weights.safetensors"
    assert weights.read_text() == "another" and not list((first / "champion").glob(".v*"))


def test_killed_between_record_and_pointer_the_pointer_is_set_right(first):
    ask(first, candidate(first, "second", better(2.0)))
    pointer = first / CURRENT
    pointer.write_text(pointer.read_text().replace("v0002", "v0001"))
    same = candidate(first, "second", better(2.0))
    ask(first, same)
    assert json.loads(pointer.read_text())["version"] == "v0002"


def test_a_history_with_a_gap_is_not_gone_on_with(first):
    ask(first, candidate(first, "second"))
    (first / "champion" / "history" / "000001.json").unlink()
    with pytest.raises(BadSetup, match=r"lacks 000001\.json"):
        ask(first, candidate(first, "third"))


def test_only_one_decides_at_a_time(first):
    with alone(Store(str(first))), pytest.raises(BadSetup, match="another process decides"):
        ask(first, candidate(first, "second"))


def test_the_checks_can_fail(first):
    (event,) = read_history(Store(str(first)))
    assert not decided_for_a_reason(replace(event, kind="refused", reasons=())).passed
    lines = [{**line, "passed": False} for line in event.details["lines"]]
    assert not decided_for_a_reason(replace(event, details={"lines": lines})).passed
    weights = first / "champion" / "v0001" / "adapter" / "pytorch_lora_weights.safetensors"
    weights.write_text("damaged")
    assert not champion_is_whole(Store(str(first))).passed


def test_other_margins_are_another_question(first):
    second = candidate(first, "second", {**better(2.0), "foreground.soft_iou": 0.0})
    assert ask(first, second).kind == "refused"
    wide = CONFIG.model_copy(update={"gate": GateConfig(margins={"foreground.soft_iou": 0.5})})
    assert ask(first, second, config=wide).kind == "promoted"
