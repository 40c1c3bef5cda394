"""The Batch API: sent once, found again after a crash, matched by id, and taken in part."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from decoupage.faults import BadSetup
from pipelines.foregrounds.prompts import categories, read_prompts
from pipelines.foregrounds.prompts.batch import read_output
from pipelines.foregrounds.prompts.ledger import ledger_path
from pipelines.foregrounds.prompts.write import UnfinishedList, write_prompts
from pipelines.stages.store import Store
from tests.pipelines.foregrounds.prompts_server import PromptsServer, serving
from tests.pipelines.foregrounds.test_prompts_written import FAST, profile


@pytest.fixture
def served() -> Iterator[tuple[PromptsServer, str]]:
    with serving() as (server, url):
        yield server, url


def write(root: Path, url: str, **prompts: Any) -> Any:
    config = profile(root, url, batch=True, poll_s=0.01, **prompts)
    return write_prompts(config, Store(config.root), FAST)


def test_one_batch_writes_the_list_and_answers_in_any_order_are_matched(tmp_path: Path, served: Any) -> None:
    server, url = served
    report = write(tmp_path, url, per_request=2)
    assert len(server.batches) == 1 and not server.questions
    assert report.requests == {"answered": 20} and report.tokens_in == 2000
    sent = [json.loads(line) for line in server.files["file_0"].splitlines()]
    assert sent[0]["custom_id"] == "00000-animal" and sent[0]["body"]["response_format"]["json_schema"]["strict"]
    assert "a letter from a to m" in sent[0]["body"]["messages"][1]["content"]
    config = profile(tmp_path, url)
    assert Counter(p.category for p in read_prompts(config, Store(config.root))) == dict.fromkeys(categories(), 3)
    requests = [json.loads(line) for line in (tmp_path / ledger_path(config.prompts)).read_text().splitlines()]
    assert [line["request"] for line in requests if line["kind"] == "answer"] == [line["custom_id"] for line in sent]


def test_an_expired_batch_gives_what_it_has_and_the_rest_is_sent_again(tmp_path: Path, served: Any) -> None:
    server, url = served

    def expire(batch: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        batch |= {"status": "expired", "output_file_id": server.output(lines[:4])}
        batch["error_file_id"] = server.output(lines[4:5], status=500)
        server.end = server.complete

    server.end = expire
    report = write(tmp_path, url)
    assert report.requests == {"answered": 10, "unanswered": 6}
    assert report.tokens_in == 1000
    assert [len(server.files[b["input_file_id"]].splitlines()) for b in server.batches.values()] == [10, 6]


def test_a_batch_in_progress_is_found_again_after_a_crash(
    tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = served
    server.polls_until_done = 3

    def die(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.foregrounds.prompts.batch.time.sleep", die)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, url)
    assert len(server.batches) == 1
    assert sum(write(tmp_path, url).by_category.values()) == 40
    assert len(server.batches) == 1


def test_a_batch_whose_id_was_never_told_is_found_by_its_mark(
    tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = served
    server.break_batch_create = 1
    assert sum(write(tmp_path / "retried", url).by_category.values()) == 40
    assert len(server.batches) == 1
    server.break_batch_create = 100
    monkeypatch.setattr(
        "pipelines.foregrounds.prompts.batch._find", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):  # Killed right after the server took the batch.
        write(tmp_path / "killed", url)
    monkeypatch.undo()
    assert sum(write(tmp_path / "killed", url).by_category.values()) == 40
    assert len(server.batches) == 2


def test_a_refused_batch_stops_and_the_next_run_sends_another(tmp_path: Path, served: Any) -> None:
    server, url = served

    def fail(batch: dict[str, Any], _: list[dict[str, Any]]) -> None:
        batch |= {"status": "failed", "errors": {"object": "list", "data": [{"message": "too many tokens queued"}]}}

    server.end = fail
    with pytest.raises(BadSetup, match="refuses batch batch_0: too many tokens queued"):
        write(tmp_path, url)
    server.end = server.complete
    assert sum(write(tmp_path, url).by_category.values()) == 40


def test_a_cancelled_batch_keeps_its_answers_and_is_not_sent_again_unasked(tmp_path: Path, served: Any) -> None:
    server, url = served

    def cancel(batch: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        batch |= {"status": "cancelled", "output_file_id": server.output(lines[:2])}

    server.end = cancel
    with pytest.raises(UnfinishedList, match=r"6 of 30 prompts are written.*batch_0 was cancelled.*run again"):
        write(tmp_path, url)
    assert len(server.batches) == 1


def test_rounds_end_with_the_requests(tmp_path: Path, served: Any) -> None:
    server, url = served
    server.usual = lambda _: {"choices": []}  # type: ignore[method-assign]
    with pytest.raises(UnfinishedList, match="max_requests"):
        write(tmp_path, url, max_requests=25)
    assert [len(server.files[b["input_file_id"]].splitlines()) for b in server.batches.values()] == [10, 10, 5]


def test_lines_that_are_no_answers_are_left_out() -> None:
    body = {"choices": [{"message": {"content": '{"prompts": ["dog"]}'}, "finish_reason": "stop"}]}
    good = {"custom_id": "a", "response": {"status_code": 200, "body": body}, "error": None}
    bad = {"custom_id": "b", "response": None, "error": {"code": "x", "message": "lost"}}
    text = "\n".join(["{", "[]", "7", '{"custom_id": 3, "response": {}}', json.dumps(good), json.dumps(bad)])
    answers, [report] = read_output(text)
    assert report.status == 0
    assert {name: answer.outcome for name, answer in answers.items()} == {"a": "answered", "b": "unanswered"}
    assert answers["a"].texts == ("dog",) and "lost" in answers["b"].detail


def test_a_page_instead_of_a_batch_is_a_refusal(tmp_path: Path, served: Any) -> None:
    server, url = served
    server.look_at_batch = lambda _: (200, {"Content-Type": "text/html"}, "<html>log in</html>")  # type: ignore[method-assign]
    with pytest.raises(BadSetup, match="HTTP 200 with an error that means 400: <html>log in</html>"):
        write(tmp_path, url)
    server.create_batch = server.look_at_batch  # type: ignore[method-assign]
    with pytest.raises(BadSetup, match="<html>"):
        write(tmp_path / "other", url)


def test_a_field_that_the_lines_of_a_batch_may_not_have_is_left_out_of_the_next(tmp_path: Path, served: Any) -> None:
    server, url = served

    def refuse_seed(batch: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        if "seed" not in lines[0]["body"]:
            return server.complete(batch, lines)
        error = {"error": {"message": "Unsupported parameter: 'seed'", "param": "seed"}}
        answers = [{"custom_id": line["custom_id"], "response": {"status_code": 400, "body": error}} for line in lines]
        batch |= {"status": "completed", "error_file_id": server.put("\n".join(map(json.dumps, answers)))}
        return None

    server.end = refuse_seed
    report = write(tmp_path, url)
    assert report.requests == {"unanswered": 10, "answered": 10} and report.left_out.keys() == {"seed"}


def test_a_line_that_the_content_filter_refuses_is_counted_as_refused() -> None:
    body = {"error": {"message": "filtered", "code": "content_filter"}}
    line = {"custom_id": "a", "response": {"status_code": 400, "body": body}, "error": None}
    answers, [report] = read_output(json.dumps(line) + "\n" + "[" * 100_000)
    assert answers["a"].outcome == "refused" and report.is_filter
