"""Prompts written by a model, against a server that misbehaves: what is paid, kept, retried and refused."""

import json
import logging
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from decoupage.faults import BadSetup
from pipelines.config import PromptsConfig
from pipelines.factory import Factory
from pipelines.foregrounds.prompts import Prompt, categories, read_prompts
from pipelines.foregrounds.prompts.chat import Ask, response_format
from pipelines.foregrounds.prompts.client import RetryPolicy
from pipelines.foregrounds.prompts.ledger import ledger_path, open_ledger, read_ledger, received_line
from pipelines.foregrounds.prompts.requirements import requirements
from pipelines.foregrounds.prompts.write import PromptsReport, UnfinishedList, write_prompts
from pipelines.stages.store import Store
from profiles.profile import Profile, load_profile
from tests.pipelines.foregrounds.prompts_server import PromptsServer, completion, listed, serving
from tests.stores import held_elsewhere

SECRET = "sk-verysecret"
FAST = RetryPolicy(max_wait_s=2.0, base_s=0.01, cap_s=0.02, attempts=4)


@pytest.fixture
def served() -> Iterator[tuple[PromptsServer, str]]:
    with serving() as (server, url):
        yield server, url


def profile(root: Path, url: str, per_category: int = 3, **prompts: Any) -> Profile:
    values = {"source": "written", "base_url": url, "per_request": 5, **prompts}
    overrides = {
        f"prompts.{key}": str(value).lower() if key == "batch" else str(value) for key, value in values.items()
    }
    generated = {"generated.generator": "layerdiffuse", "generated.prompts_per_category": str(per_category)}
    return load_profile("demo", str(root), overrides | generated)


def write(config: Profile) -> PromptsReport:
    return write_prompts(config, Store(config.root), FAST)


def read(config: Profile) -> list[Prompt]:
    return read_prompts(config, Store(config.root))


def test_a_list_is_written_until_every_category_has_enough(tmp_path: Path, served: Any) -> None:
    server, url = served
    config = profile(tmp_path, url, usd_per_million_tokens_in=2.0, usd_per_million_tokens_out=10.0)
    report = write(config)
    assert report.by_category == dict.fromkeys(categories(), 4)  # 3 wanted, a quarter more asked for.
    assert (report.num_new, report.requests, server.answered) == (40, {"answered": 10}, 10)
    assert (report.tokens_in, report.tokens_out) == (1000, 500)
    assert report.cost_usd == pytest.approx(1000 * 2e-6 + 500 * 1e-5)
    assert Counter(prompt.category for prompt in read(config)) == dict.fromkeys(categories(), 3)
    sent = server.questions[0]
    assert sent["response_format"] == response_format()
    assert sent["seed"] == 0 and "temperature" not in sent


def test_a_whole_list_costs_nothing_and_needs_no_server(tmp_path: Path, served: Any) -> None:
    server, url = served
    write(profile(tmp_path, url))
    report = write(profile(tmp_path, "http://127.0.0.1:9/v1"))
    assert (server.answered, report.num_new, sum(report.by_category.values())) == (10, 0, 40)


def test_asking_for_more_appends_and_tells_the_model_what_is_there(tmp_path: Path, served: Any) -> None:
    server, url = served
    write(profile(tmp_path, url))
    before = read(profile(tmp_path, url))
    more = profile(tmp_path, url, per_category=6)
    assert write(more).num_new == 30
    after = read(more)
    for name in categories():
        first, second = ([p.text for p in prompts if p.category == name] for prompts in (before, after))
        assert second[:3] == first and len(second) == 6
    assert all(text in server.questions[10]["messages"][1]["content"] for text in [p.text for p in before[:3]])


def test_what_is_refused_is_counted_and_refilled(tmp_path: Path, served: Any) -> None:
    server, url = served
    server.script = [lambda _: (200, {}, listed("dog", "dogs", "dog on sofa", "Nike shoe", "x", "tesla"))]
    config = profile(tmp_path, url)
    report = write(config)
    assert read(config)[0] == Prompt("animal", "dog")
    assert report.rejected == {"duplicate": 1, "scene": 1, "proper_noun": 1, "too_short": 1, "brand": 1}
    assert report.requests == {"answered": 11}


def test_a_thing_is_not_taken_again_in_another_category(tmp_path: Path, served: Any) -> None:
    server, url = served
    server.script = [lambda _: (200, {}, listed("robot", "dog", "cow")), lambda _: (200, {}, listed("robot"))]
    report = write(profile(tmp_path, url))
    assert report.rejected == {"duplicate": 1}


def test_useless_answers_are_asked_again_and_their_tokens_told(tmp_path: Path, served: Any) -> None:
    server, url = served
    bodies = [
        completion('{"prompts": ["dog", "ca', "length"),
        completion('{"nouns": ["dog"]}'),
        completion(None, refusal="I cannot do that"),
    ]
    server.script = [lambda _, body=body: (200, {}, body) for body in bodies]
    report = write(profile(tmp_path, url))
    assert report.requests == {"answered": 11, "truncated": 1, "malformed": 1, "refused": 1}
    assert report.tokens_in == 14 * 100
    wanted = [int(re.search(r"Write (\d+) ", q["messages"][1]["content"])[1]) for q in server.questions[:4]]
    assert wanted[0] == 4 and wanted[1] == 2  # Less is asked for after an answer that ran out of tokens.


@pytest.mark.parametrize(
    "body",
    ["<html>gateway</html>", "[]", {"choices": []}, {"choices": [{"message": {"content": 7}}]}, listed("dog on sofa")],
)
def test_answers_that_bring_nothing_end_the_run_and_not_the_money(tmp_path: Path, served: Any, body: Any) -> None:
    server, url = served
    server.script = [lambda _: (200, {}, body)] * 100
    with pytest.raises(UnfinishedList, match="4 answers in a row gave no new prompt for 'animal'") as fault:
        write(profile(tmp_path, url))
    assert server.answered == 4
    assert sum(fault.value.report.by_category.values()) == 0


def test_used_up_requests_say_what_is_there_and_how_to_go_on(tmp_path: Path, served: Any) -> None:
    server, url = served
    with pytest.raises(UnfinishedList, match=r"9 of 30 prompts are written.*max_requests.*raise it.*decoupage prompts"):
        write(profile(tmp_path, url, max_requests=3))
    assert server.answered == 3
    with pytest.raises(UnfinishedList):  # The bound is one of the list, not of a run.
        write(profile(tmp_path, url, max_requests=3))
    assert server.answered == 3
    assert sum(write(profile(tmp_path, url, max_requests=10)).by_category.values()) == 40


def test_passing_faults_are_tried_again_and_retry_after_is_kept(tmp_path: Path, served: Any) -> None:
    server, url = served
    server.script = [
        lambda _: (429, {"Retry-After": "0.4"}, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}),
        lambda _: (500, {}, "no JSON at all"),
        lambda _: (503, {"retry-after-ms": "30"}, {"error": {"message": "busy"}}),
    ]
    assert write(profile(tmp_path, url)).requests == {"answered": 10}
    assert server.times_s[1] - server.times_s[0] >= 0.4


def test_a_long_retry_after_is_waited_for_and_a_longer_one_ends_the_run(
    tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = served
    waits: list[float] = []
    # Threads of other tests' servers and clients go on beside this one.
    others, sleep = set(threading.enumerate()) - {threading.current_thread()}, time.sleep

    def wait(seconds: float) -> None:
        if threading.current_thread() in others:
            sleep(seconds)
        elif seconds > 1:
            waits.append(seconds)

    monkeypatch.setattr(time, "sleep", wait)
    server.script = [lambda _: (429, {"Retry-After": "600"}, {"error": {"message": "slow down"}})]
    config = profile(tmp_path, url, max_wait_s=900)
    assert sum(write_prompts(config, Store(config.root)).by_category.values()) == 40
    assert len(waits) == 1 and 600 <= waits[0] < 602  # The client itself would have given up.
    server.script = [lambda _: (429, {"Retry-After": "901"}, {"error": {"message": "slow down"}})]
    more = profile(tmp_path, url, per_category=5, max_wait_s=900)
    with pytest.raises(UnfinishedList, match=r"asks to wait 90\d s .*max_wait_s allows 900 s.*decoupage prompts write"):
        write_prompts(more, Store(more.root))


def test_a_wait_can_be_interrupted_and_loses_nothing(tmp_path: Path, served: Any) -> None:
    server, url = served

    def slow_down(_: Any) -> Any:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        return 429, {"Retry-After": "60"}, {"error": {"message": "slow down"}}

    server.script = [lambda _: None, slow_down]
    config = profile(tmp_path, url, max_wait_s=100)
    started = time.monotonic()
    # A process that a script started in the background ignores SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            write_prompts(config, Store(config.root))
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started < 30
    assert write(config).requests == {"answered": 10} and server.answered == 10


def test_a_server_that_does_not_answer_in_time_is_asked_again(tmp_path: Path, served: Any) -> None:
    server, url = served
    slow = iter([1.0])
    server.script = [lambda _: time.sleep(next(slow, 0.0))]
    assert write(profile(tmp_path, url, timeout_s=0.3)).requests == {"answered": 10}
    assert len(server.questions) == 11


def test_a_server_that_keeps_failing_ends_the_run_with_what_is_there(tmp_path: Path, served: Any) -> None:
    server, url = served
    server.script = [lambda _: None] * 2 + [lambda _: (500, {}, {"error": {"message": "down"}})] * 4
    with pytest.raises(UnfinishedList, match=r"6 of 30 .* failed 4 times in a row, last with HTTP 500: .*down"):
        write(profile(tmp_path, url))
    with pytest.raises(UnfinishedList, match="failed 4 times in a row"):
        write(profile(tmp_path, "http://127.0.0.1:9/v1"))


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (401, "invalid_api_key", "OPENAI_API_KEY"),
        (404, "model_not_found", "prompts.model"),
        (400, "unsupported_value", r"correct \[prompts\]"),
        (429, "insufficient_quota", "quota"),
    ],
)
def test_refusals_that_no_waiting_mends_stop_at_once(
    tmp_path: Path, served: Any, status: int, code: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    server, url = served
    server.script = [lambda _: (status, {}, {"error": {"message": f"no, {SECRET}", "code": code}})]
    with pytest.raises(BadSetup, match=told) as fault:
        write(profile(tmp_path, url))
    assert not isinstance(fault.value, UnfinishedList) and SECRET not in str(fault.value)
    assert len(server.questions) == 1


def test_the_key_is_sent_and_found_in_no_file_message_or_log(
    tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    server, url = served
    body = listed("dog", SECRET, "cow") | {"id": SECRET, "model": SECRET}
    server.script = [
        lambda _: (500, {}, {"error": {"message": f"who sent {SECRET}?"}}),
        lambda _: (200, {}, body),
        lambda _: (200, {}, completion(None, refusal=f"not for {SECRET}")),
    ]
    with caplog.at_level(logging.DEBUG):
        report = write(profile(tmp_path, url))
    assert server.keys[0] == f"Bearer {SECRET}"
    assert SECRET not in json.dumps(asdict(report)) + caplog.text
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not any(SECRET.encode() in data for data in files)


def test_openai_itself_is_not_asked_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(BadSetup, match="OPENAI_API_KEY is not set"):
        write(profile(tmp_path, ""))


def test_needs_tell_of_a_key_only_whether_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    [missing] = requirements(profile(tmp_path, ""), store)
    assert (missing.name, missing.present) == ("OPENAI_API_KEY", False) and "0 of 30 prompts" in missing.found
    assert requirements(profile(tmp_path, "http://127.0.0.1:8000/v1"), store)[0].present
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    [there] = requirements(profile(tmp_path, ""), store)
    assert there.present and SECRET not in str(there)
    # A key does not cross a network in the clear.
    assert "without a key" in requirements(profile(tmp_path, "http://elsewhere.example:8000/v1"), store)[0].found
    many = {"generated.generator": "layerdiffuse", "generated.prompts_per_category": "61"}
    [short] = requirements(load_profile("demo", str(tmp_path), many), store)
    assert (short.name, short.present) == ("prompts", False)
    assert requirements(load_profile("demo", str(tmp_path)), store) == []


def test_a_whole_list_needs_no_key_any_more(tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    write(profile(tmp_path, served[1]))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    [whole] = requirements(profile(tmp_path, ""), store)
    assert (whole.name, whole.present) == ("prompts.list", True) and "30 in " in whole.found
    # More prompts are wanted than there are: somebody must be asked again.
    [more] = requirements(profile(tmp_path, "", per_category=9), store)
    assert (more.name, more.present) == ("OPENAI_API_KEY", False) and "40 of 90 prompts" in more.found
    (tmp_path / ledger_path(profile(tmp_path, "").prompts)).write_bytes(b"{}\n")
    [damaged] = requirements(profile(tmp_path, ""), store)
    assert (damaged.name, damaged.present) == ("prompts.list", False)
    assert "is damaged" in damaged.found and damaged.fix.startswith("restore a copy")


def test_an_address_holds_no_secret() -> None:
    with pytest.raises(ValueError, match="no name, password or query"):
        PromptsConfig(base_url="https://me:secret@example.org/v1")
    with pytest.raises(ValueError, match="http"):
        PromptsConfig(base_url="localhost:8000")


def test_a_torn_last_line_is_left_out_and_written_over(tmp_path: Path, served: Any) -> None:
    server, url = served
    config = profile(tmp_path, url)
    write(config)
    path = tmp_path / ledger_path(config.prompts)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert sum(write(config).by_category.values()) == 40
    assert server.answered == 11
    assert path.read_bytes().startswith(whole[: whole[:-1].rindex(b"\n") + 1])
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


@pytest.mark.parametrize("spoil", [b'{"kind":"answer"}\n', b"[1]\n", b"\xff\n", b"{}\n"])
def test_a_damaged_line_is_told_and_nothing_is_paid(tmp_path: Path, served: Any, spoil: bytes) -> None:
    server, url = served
    config = profile(tmp_path, url)
    write(config)
    path = tmp_path / ledger_path(config.prompts)
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(first + b"\n" + spoil + rest)
    for function in (write, read):
        with pytest.raises(BadSetup, match="is damaged"):
            function(profile(tmp_path, url, per_category=9))
    assert server.answered == 10


def test_two_writers_of_one_list_are_one_too_many(tmp_path: Path, served: Any) -> None:
    _, url = served
    config = profile(tmp_path, url)
    with open_ledger(config.prompts, Store(config.root)), pytest.raises(BadSetup, match="another process is writing"):
        write(config)


def test_a_list_that_changed_under_a_writer_is_not_written_over_and_no_paid_answer_is_lost(
    tmp_path: Path,
    served: Any,
    remote: Store,
) -> None:
    server, url = served
    config = profile(tmp_path, url)
    write_prompts(config, remote, FAST)
    # One that stood still until its lease ran out, and has an answer in hand.
    stale = read_ledger(config.prompts, remote)
    assert stale is not None
    write_prompts(profile(tmp_path, url, per_category=5), remote, FAST)
    whole = remote.read(ledger_path(config.prompts))
    with pytest.raises(BadSetup, match="was changed by another run"):
        stale.append({"kind": "closed", "plan": "x", "status": "y"})
    asked = Ask("animal/late", "animal", 2, 99)
    with pytest.raises(BadSetup, match=r"takes the 1 answers that were paid for from .*\.aside-"):
        stale.append(received_line(asked, json.dumps(listed("otter cub", "lynx cub"))))
    assert remote.read(ledger_path(config.prompts)) == whole
    answered = server.answered
    write_prompts(profile(tmp_path, url, per_category=5), remote, FAST)
    found = read_ledger(config.prompts, remote)
    assert found is not None and [line["request"] for line in found.answers].count(asked.id) == 1
    assert server.answered == answered and not [name for name in remote.names("sources/prompts") if "aside" in name]


@pytest.mark.usefixtures("quick_leases")
def test_two_writers_of_one_list_in_an_object_store_are_one_too_many(
    tmp_path: Path,
    served: Any,
    remote: Store,
) -> None:
    _, url = served
    config = profile(tmp_path, url)
    with held_elsewhere(remote, "sources/prompts/.lock"), pytest.raises(BadSetup, match="another process is writing"):
        write_prompts(config, remote, FAST)
    assert not remote.exists(ledger_path(config.prompts))
    write_prompts(config, remote, FAST)


def test_another_model_is_another_list_and_another_address_is_not(tmp_path: Path) -> None:
    one = PromptsConfig(model="a")
    paths = {ledger_path(one.model_copy(update=change)) for change in ({}, {"base_url": "http://x"}, {"batch": True})}
    assert paths == {ledger_path(one)}
    assert all(
        ledger_path(one.model_copy(update=change)) != ledger_path(one)
        for change in ({"model": "b"}, {"temperature": 1.0}, {"seed": 1})
    )


def test_a_stage_is_built_before_its_prompts_are_there_and_run_after(tmp_path: Path, served: Any) -> None:
    _, url = served
    config = profile(tmp_path, url)
    stage = Factory(config, Store(config.root)).generated_foregrounds
    assert stage.recipe and stage.shards()
    with pytest.raises(BadSetup, match="decoupage prompts write"):
        stage.inputs("00000")
    write(config)
    assert sum(len(stage.items(shard)) for shard in stage.shards()) == 30
