"""Prompts by servers that differ from OpenAI's, break off, never end, or repeat what they should not."""

import gzip
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoupage.faults import BadSetup
from pipelines.config import PromptsConfig
from pipelines.foregrounds.prompts import categories
from pipelines.foregrounds.prompts.answers import Answer, find_prompts, read_answer, read_report
from pipelines.foregrounds.prompts.client import server as address_of
from pipelines.foregrounds.prompts.ledger import ledger_path
from pipelines.foregrounds.prompts.rules import PromptFilter
from pipelines.foregrounds.prompts.write import UnfinishedList
from pipelines.stages.store import Store
from tests.pipelines.foregrounds.prompts_server import PromptsServer, completion, listed, noun, serving
from tests.pipelines.foregrounds.test_prompts_written import SECRET, profile, write

LISTED = '{"prompts": ["dog", "cow"]}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def served() -> Iterator[tuple[PromptsServer, str]]:
    with serving() as (server, url):
        yield server, url


def refusing(field: str, status: int, body: Callable[[str], Any]) -> Callable[[dict[str, Any]], Any]:
    """A server that does not take a field."""
    return lambda sent: (status, {}, body(field)) if field in sent else None


BODIES: dict[str, tuple[int, Callable[[str], Any]]] = {
    "OpenAI": (
        400,
        lambda name: {"error": {"message": f"Unsupported parameter: '{name}'", "param": name, "code": "unsupported"}},
    ),
    "FastAPI": (
        422,
        lambda name: {
            "detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs", "input": 0}]
        },
    ),
    "Mistral": (
        422,
        lambda name: {"object": "error", "message": {"detail": [{"loc": ["body", name], "msg": "Extra inputs"}]}},
    ),
    "text": (400, lambda name: f"unknown field {name}: try again"),
    "error as text": (400, lambda name: {"error": f'json: unknown field "{name}"'}),
    "nested": (400, lambda name: {"error": {"message": f"{name}.json_schema is not supported", "type": "invalid"}}),
    "with status 200": (200, lambda name: {"error": {"message": f"{name} is not supported", "code": 400}}),
}


@pytest.mark.parametrize("field", ["seed", "max_completion_tokens", "response_format", "temperature"])
@pytest.mark.parametrize("kind", BODIES)
def test_a_field_that_the_server_refuses_is_left_out_and_told(
    tmp_path: Path, served: Any, caplog: pytest.LogCaptureFixture, kind: str, field: str
) -> None:
    server, url = served
    server.script = [refusing(field, *BODIES[kind])] * 100
    report = write(profile(tmp_path, url, temperature=0.5))
    assert report.requests == {"answered": 10} and len(server.questions) == 11
    assert report.left_out.keys() == {field} and field in report.left_out[field]
    assert f"refuses {field} (HTTP" in caplog.text and "prompts.request_fields" in caplog.text
    last = server.questions[-1]
    assert field not in last and ("max_tokens" in last) == (field == "max_completion_tokens")
    assert ("nothing but JSON" in last["messages"][1]["content"]) == (field == "response_format")


def test_several_fields_are_left_out_one_by_one_and_a_profile_can_say_so(tmp_path: Path, served: Any) -> None:
    server, url = served
    fields = ("seed", "max_completion_tokens", "max_tokens", "response_format")

    def strict(sent: dict[str, Any]) -> Any:
        first = next((name for name in fields if name in sent), None)
        return (400, {}, {"error": {"message": f"unknown: {first}. Known: model, messages"}}) if first else None

    server.script = [strict] * 100
    report = write(profile(tmp_path, url))
    assert set(report.left_out) == set(fields) and set(server.questions[-1]) == {"model", "messages"}
    server.questions.clear()
    assert write(profile(tmp_path, url, per_category=6, request_fields="[]")).left_out == {}
    assert set(server.questions[0]) == {"model", "messages"}


def test_a_refusal_that_names_no_field_stops(tmp_path: Path, served: Any) -> None:
    server, url = served
    server.script = [lambda _: (400, {}, {"error": {"message": "seedling\x1b[2J models are gone"}})] * 9
    with pytest.raises(BadSetup, match=r"HTTP 400: seedling\\x1b\[2J models are gone"):
        write(profile(tmp_path, url))
    assert len(server.questions) == 1


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Rate limit exceeded", "code": 429},
        {"message": "slow", "code": "429"},
        {"message": "slow", "type": "rate_limit_exceeded"},
        {"message": "The engine is overloaded"},
        {"code": 502, "message": "bad gateway", "metadata": {}},
        "too many requests",
    ],
)
def test_an_error_with_status_200_waits(
    tmp_path: Path, served: Any, error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server, url = served
    server.script = [lambda _: (200, {"Retry-After": "0.01"}, {"error": error, "choices": None})]
    with caplog.at_level(logging.INFO, "pipelines"):
        assert write(profile(tmp_path, url)).requests == {"answered": 10}
    assert "HTTP 200 with an error that means" in caplog.text


def test_an_error_with_status_200_that_waiting_does_not_mend_is_said(tmp_path: Path, served: Any) -> None:
    server, url = served
    server.script = [lambda _: (200, {}, {"error": {"message": "model not loaded"}})]
    with pytest.raises(BadSetup, match="HTTP 200 with an error that means 400: model not loaded"):
        write(profile(tmp_path, url))


@pytest.mark.parametrize(
    "refusal",
    [
        (400, {}, {"error": {"message": "filtered", "code": "content_filter", "param": "prompt"}}),
        (400, {}, {"error": {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}, "message": "no"}}),
        (200, {}, {"error": {"message": "no", "code": "content_filter"}}),
        (200, {}, completion("", "content_filter")),
        (200, {}, completion(None, refusal="I will not")),
    ],
)
def test_a_content_filter_refuses_one_category_and_not_the_run(tmp_path: Path, served: Any, refusal: Any) -> None:
    server, url = served
    server.script = [lambda sent: refusal if "Category: human" in sent["messages"][1]["content"] else None] * 100
    with pytest.raises(UnfinishedList, match=r"27 of 30 .* requests in a row were refused for 'human' \(") as fault:
        write(profile(tmp_path, url))
    assert fault.value.report.requests == {"answered": 9, "refused": 4}
    server.script = []
    assert sum(write(profile(tmp_path, url)).by_category.values()) == 40


@pytest.mark.parametrize(
    "change",
    [
        {"id": None, "model": None, "usage": None, "created": None, "object": None},
        {"id": 7, "usage": {"prompt_tokens": None, "completion_tokens": "many"}},
        {"usage": {"prompt_tokens": -3, "completion_tokens": 1e400}},
        {"usage": [], "model": ["x"]},
    ],
)
def test_what_surrounds_an_answer_may_be_anything(change: dict[str, Any]) -> None:
    answer = read_answer(json.dumps(listed("dog") | change))
    assert (answer.outcome, answer.texts, answer.tokens_in, answer.tokens_out) == ("answered", ("dog",), 0, 0)


@pytest.mark.parametrize(
    "text",
    [
        LISTED,
        f"```json\n{LISTED}\n```",
        f'<think>Perhaps {{"prompts": ["draft"]}}? No.</think>\n{LISTED}',
        f'draft: ["x"]</think>{LISTED}',
        f'Here you are, in {{braces}} and [brackets]:\n{LISTED}\nEnjoy {{"prompts": ["more"]}}',
        '{"category": "animal", "prompts": ["dog", "cow"]}',
        '{"note": {"n": [1]}} [1, 2] {"prompts": "dog"} {"prompts": ["dog", "cow"]}',
        '["dog", "cow"]',
        f"\ufeff{LISTED}",
    ],
)
def test_json_is_found_wherever_it_stands(text: str) -> None:
    assert find_prompts(text) == ["dog", "cow"]
    in_parts = {"choices": [{"message": {"content": [{"type": "text", "text": text}]}}]}
    assert read_answer(in_parts).texts == ("dog", "cow")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("<html>", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ({}, "has no choices"),
        ({"choices": None}, "has no choices"),
        ({"choices": [None]}, "has no choices"),
        ({"choices": [{}]}, "is empty"),
        (completion(None), "is empty"),
        (completion(" \n"), "is empty"),
        (completion("[" * 100_000), "holds no"),
        (completion("{" * 100_000), "holds no"),
        (completion("dog, cow"), "holds no"),
        (completion("\x1b[2Jdog"), "holds no"),
        (completion('{"prompts": [1]}'), "holds no"),
        (completion('{"prompts": ' + "9" * 9001 + "}"), "holds no"),
    ],
)
def test_what_is_no_answer_is_named_and_its_text_kept(body: Any, detail: str) -> None:
    started = time.monotonic()
    answer = read_answer(body if isinstance(body, str) else json.dumps(body))
    assert answer.outcome == "malformed" and detail in answer.detail and answer.detail.isprintable()
    if detail not in {"has no choices", "is empty"}:
        assert answer.text
    assert time.monotonic() - started < 10


def test_text_that_utf8_cannot_hold_is_refused_and_stored(tmp_path: Path, served: Any) -> None:
    server, url = served
    bad = json.dumps(completion('{"prompts": ["\\ud800dog", "caf\\u00e9", "a\\u202eb", "cow"]}') | {"model": "\ud800"})
    server.script = [lambda _: (200, {}, bad)]
    report = write(profile(tmp_path, url))
    assert report.rejected == {"not_words": 3} and report.requests == {"answered": 11}


NAMES = ["choices", "message", "content", "usage", "error", "code", "loc", "id"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=9,
)


@given(VALUES)
def test_any_json_is_an_answer_or_a_named_fault(value: Any) -> None:
    assert isinstance(read_answer(json.dumps(value)), Answer)
    report = read_report(400, json.dumps(value), {})
    assert report.message.isprintable() and all(isinstance(name, str) for name in report.fields)


# ---- what was paid for


def stored(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in root.rglob("*.jsonl") for line in path.read_text().splitlines()]


def test_a_paid_answer_is_stored_before_it_is_read_and_entered_by_the_next_run(
    tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = served
    with monkeypatch.context() as patch:
        patch.setattr(PromptFilter, "judge", lambda *_: (_ for _ in ()).throw(RuntimeError("bug")))
        with pytest.raises(RuntimeError, match="bug"):
            write(profile(tmp_path, url))
    kept = [line for line in stored(tmp_path) if line["kind"] == "received"]
    assert len(kept) == 1 and noun(0) in kept[0]["text"]
    report = write(profile(tmp_path, url))
    assert report.requests == {"answered": 10} and server.answered == 10
    assert not [line for line in stored(tmp_path) if line["kind"] == "received"]


def test_the_text_of_an_answer_without_prompts_is_stored(tmp_path: Path, served: Any) -> None:
    server, url = served
    server.script = [lambda _: (200, {}, completion("a dog and a cow"))]
    write(profile(tmp_path, url))
    answers = [line for line in stored(tmp_path) if line["kind"] == "answer"]
    assert answers[0]["text"] == "a dog and a cow" and "text" not in answers[1]


def test_an_answer_that_cannot_be_stored_is_printed(
    tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server, url = served
    server.script = [lambda _: (200, {}, listed("okapi"))]
    write_as_before = Store.write

    def full(store: Store, path: str, data: bytes) -> None:
        if b"okapi" in data:
            raise BadSetup("no space left on device")
        write_as_before(store, path, data)

    monkeypatch.setattr(Store, "write", full)
    with pytest.raises(BadSetup, match="no space left"):
        write(profile(tmp_path, url))
    assert "was paid for and cannot be stored" in caplog.text and "okapi" in caplog.text


@pytest.mark.parametrize("line", ['{"kind":"received"}', '{"kind":"received","request":"1","text":"x","category":"a"}'])
def test_a_damaged_line_is_named(tmp_path: Path, served: Any, line: str) -> None:
    config = profile(tmp_path, served[1])
    write(config)
    with (tmp_path / ledger_path(config.prompts)).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(BadSetup, match="is damaged"):
        write(profile(tmp_path, served[1], per_category=5))


# ---- bounds


def endless(file: BinaryIO) -> None:
    file.write(HEAD + b'\r\n{"choices": "')
    while True:
        file.write(b"x" * 65_536)


def dripping(file: BinaryIO, data: bytes) -> None:
    for position in range(len(data)):
        file.write(data[position : position + 1])
        file.flush()
        time.sleep(0.05)


def test_an_endless_answer_ends_with_a_sentence(tmp_path: Path, served: Any) -> None:
    server, url = served
    server.script = [lambda _: (200, {}, endless)] * 9
    with pytest.raises(BadSetup, match=r"does not end within 16 MiB; is prompts\.base_url"):
        write(profile(tmp_path, url))
    assert len(server.questions) == 1


@pytest.mark.parametrize("part", ["head", "body"])
def test_an_answer_byte_by_byte_has_a_deadline(tmp_path: Path, served: Any, part: str) -> None:
    server, url = served
    data = b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000 if part == "head" else HEAD + b"\r\n" + b" " * 1000
    server.script = [lambda _: (200, {}, lambda file: dripping(file, data))] * 4
    started = time.monotonic()
    with pytest.raises(UnfinishedList, match=r"4 times in a row, last with (no complete answer within 0\.4 s|.*time)"):
        write(profile(tmp_path, url, timeout_s=0.4))
    assert time.monotonic() - started < 20
    assert write(profile(tmp_path, url)).requests == {"answered": 10}


def test_a_compressed_answer_was_not_asked_for(tmp_path: Path, served: Any) -> None:
    server, url = served
    bomb = gzip.compress(bytes(1 << 24))
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    server.script = [lambda _: (200, {}, lambda file: file.write(head + bomb))]
    with pytest.raises(BadSetup, match="a compressed answer, which was not asked for"):
        write(profile(tmp_path, url))
    assert server.asked[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("data", [b"", b"HTTP/9 what\r\n\r\n", HEAD + b"Content-Length: 99\r\n\r\n{", b"\0" * 99])
def test_what_is_no_http_is_asked_again(tmp_path: Path, served: Any, data: bytes) -> None:
    server, url = served
    server.script = [lambda _: (200, {}, lambda file: file.write(data))]
    assert write(profile(tmp_path, url)).requests == {"answered": 10}


def test_a_redirect_is_not_followed(tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    server, url = served
    server.script = [lambda _: (307, {"Location": f"http://127.0.0.1:9/{SECRET}"}, "")]
    with pytest.raises(BadSetup, match=r"redirects to http://127\.0\.0\.1:9/\*\*\*") as fault:
        write(profile(tmp_path, url))
    assert SECRET not in str(fault.value)


# ---- the key


def told_by(config: Any) -> str:
    """The message that a run ends with; empty where it ends well."""
    try:
        write(config)
    except BadSetup as fault:
        return str(fault)
    return ""


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_key_that_the_server_repeats_is_nowhere(
    tmp_path: Path, served: Any, status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    server, url = served
    body = listed(SECRET) if status == 200 else {"error": {"message": "x" * 190 + SECRET, "code": SECRET}}
    server.script = [lambda _: (status, {"X-Echo": SECRET, "Retry-After": SECRET}, body)]
    with caplog.at_level(logging.DEBUG):
        told = told_by(profile(tmp_path, url))
    assert bool(told) == (status == 400) and SECRET[:10] not in told + caplog.text
    assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_azure_gets_its_version_and_its_header(tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    server, url = served
    base = url.replace("/v1", "/openai/deployments/writer?api-version=2024-10-21")
    assert len(write(profile(tmp_path, base)).by_category) == len(categories())
    path, headers = server.asked[0]
    assert path == "/openai/deployments/writer/chat/completions?api-version=2024-10-21"
    sent = {name.lower(): value for name, value in headers.items()}
    assert sent["api-key"] == SECRET and "authorization" not in sent
    assert "?" not in address_of(profile(tmp_path, base).prompts)


@pytest.mark.parametrize("query", ["?key=abc", "?api-version=1&key=abc", "?api-version=a%20b", "#api-version=1"])
def test_other_queries_are_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"no name, password or query besides \?api-version"):
        PromptsConfig(base_url=f"https://example.org/v1{query}")


def test_two_names_of_one_bound_are_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        PromptsConfig(request_fields=("max_tokens", "max_completion_tokens"))
