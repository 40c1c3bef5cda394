"""A server on 127.0.0.1 that speaks the parts of OpenAI's API that prompts are written by, and misbehaves on demand."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

Reply = tuple[int, dict[str, str], Any]
"""(status, headers, body: text as it is, a function as what writes the whole answer, anything else as JSON)"""
SYLLABLES = ["ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we", "zi"]


def noun(number: int) -> str:
    """A made-up noun; different numbers give unlike ones."""
    scattered, word = (number * 2_654_435_761 + 12_345) % 18**6, ""
    for _ in range(6):
        scattered, place = divmod(scattered, len(SYLLABLES))
        word += SYLLABLES[place]
    return word


def completion(content: str | None, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    """The body of a chat completion of 100 tokens in and 50 out."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    return {
        "id": f"chatcmpl-{time.monotonic_ns()}",
        "object": "chat.completion",
        "created": 0,
        "model": "tiny-writer-0001",
        "choices": [{"index": 0, "finish_reason": finish, "message": message, "logprobs": None}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
    }


def listed(*texts: str) -> dict[str, Any]:
    """The completion whose answer is these prompts."""
    return completion(json.dumps({"prompts": list(texts)}))


class PromptsServer:
    """Answers each question with as many new nouns as are asked for, unless `script` has something else to say.

    Attributes:
        script: first replies, in order: functions of the request's body; None = as usual.
        delay_s: before each chat answer.
        asked: path and headers of each POST.
        questions: bodies of the chat requests, and the times at which they came.
        answered: chat requests answered with status 200.
        batches: what was sent by id.
    """

    def __init__(self) -> None:
        self.script: list[Callable[[dict[str, Any]], Reply | None]] = []
        self.delay_s = 0.0
        self.questions: list[dict[str, Any]] = []
        self.times_s: list[float] = []
        self.keys: list[str] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answered = 0
        self.files: dict[str, str] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.polls_until_done = 1
        self.end: Callable[[dict[str, Any], list[dict[str, Any]]], None] = self.complete
        self.break_batch_create = 0
        self._nouns = count()
        self._lock = threading.Lock()

    def usual(self, body: dict[str, Any]) -> dict[str, Any]:
        """New nouns, as many as asked for."""
        wanted = int(re.search(r"Write (\d+) prompts", body["messages"][1]["content"])[1])
        return listed(*(noun(next(self._nouns)) for _ in range(wanted)))

    def chat(self, body: dict[str, Any]) -> Reply:
        with self._lock:
            self.questions.append(body)
            self.times_s.append(time.monotonic())
            act = self.script.pop(0) if self.script else None
        reply = (act(body) if act else None) or (200, {}, self.usual(body))
        time.sleep(self.delay_s)
        with self._lock:
            self.answered += reply[0] == 200
        return reply

    # ---- batches

    def get(self, path: str) -> Reply:
        if path == "/batches":
            return 200, {}, {"object": "list", "data": list(self.batches.values()), "has_more": False}
        if path.startswith("/batches/"):
            return self.look_at_batch(path.rsplit("/", 1)[1])
        return 200, {}, self.files[path.split("/")[2]]

    def create_batch(self, body: dict[str, Any]) -> Reply:
        id = f"batch_{len(self.batches)}"
        told = {key: body[key] for key in ("input_file_id", "endpoint", "completion_window", "metadata")}
        self.batches[id] = told | {"id": id, "object": "batch", "created_at": 0, "status": "validating", "polls": 0}
        if self.break_batch_create:
            self.break_batch_create -= 1
            return 500, {}, {"error": {"message": "made, but not told"}}
        return 200, {}, self.batches[id]

    def look_at_batch(self, id: str) -> Reply:
        batch = self.batches[id]
        batch["polls"] += 1
        if batch["polls"] > self.polls_until_done and batch["status"] in ("validating", "in_progress"):
            lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
            self.end(batch, lines)
        elif batch["status"] == "validating":
            batch["status"] = "in_progress"
        return 200, {}, batch

    def complete(self, batch: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        """Answers every line, last first."""
        batch["status"] = "completed"
        batch["output_file_id"] = self.output(lines[::-1])

    def output(self, lines: list[dict[str, Any]], status: int = 200) -> str:
        """A file of answers to these lines."""
        answers = [
            {
                "custom_id": line["custom_id"],
                "response": {"status_code": status, "body": self.usual(line["body"]) if status == 200 else {}},
                "error": None,
            }
            for line in lines
        ]
        return self.put("".join(json.dumps(answer) + "\n" for answer in answers))

    def upload(self, content_type: str, data: bytes) -> Reply:
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        form = BytesParser(policy=HTTP).parsebytes(head + data)
        file = next(part for part in form.iter_parts() if part.get_filename())
        id = self.put(file.get_payload(decode=True).decode())
        told = {"id": id, "object": "file", "bytes": 1, "created_at": 0, "filename": "f", "purpose": "batch"}
        return 200, {}, told | {"status": "processed"}

    def put(self, text: str) -> str:
        """Store a file; returns its id."""
        id = f"file_{len(self.files)}"
        self.files[id] = text
        return id


def _handler(server: PromptsServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.reply(*server.get(self.path.split("?")[0].removeprefix("/v1")))

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            server.keys.append(self.headers.get("Authorization", ""))
            server.asked.append((self.path, dict(self.headers)))
            path = self.path.removeprefix("/v1")
            if path.partition("?")[0].endswith("/chat/completions"):
                self.reply(*server.chat(json.loads(data)))
            elif path == "/batches":
                self.reply(*server.create_batch(json.loads(data)))
            else:
                self.reply(*server.upload(self.headers["Content-Type"], data))

        def reply(self, status: int, headers: dict[str, str], body: Any) -> None:
            if callable(body):
                self.close_connection = True
                with suppress(OSError):  # The other side had enough.
                    body(self.wfile)
                return
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            try:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):  # The other side was killed, or had enough of waiting.
                self.close_connection = True

    return Handler


@contextmanager
def serving() -> Iterator[tuple[PromptsServer, str]]:
    """(the server, its address for `prompts.base_url`)."""
    server = PromptsServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{http.server_address[1]}/v1"
    finally:
        http.shutdown()
        http.server_close()
