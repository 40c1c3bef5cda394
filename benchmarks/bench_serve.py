"""`decoupage serve` under load: what it adds to `decompose`, requests a second, and what a flood does to it.

    python benchmarks/bench_serve.py [--json] [--rounds 3]

The packaged model, a server in a process of its own, with a token, on loopback. The flood: 50 clients at once with good
requests, again and again, then whatever else comes from a network: senders that dawdle, connections that close half-way
or while they wait, wrong tokens, foreign names and origins, forms that are none, a zip for a picture, a picture that
claims 200 megapixels. Every answer is counted by its status. Memory is the server's resident set.
"""

import argparse
import io
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

CHECKOUT = Path(__file__).resolve().parent.parent
TOKEN = "a token of a benchmark"
AT_ONCE, SIDE_PX = 50, 512
KNOWN = {"Authorization": f"Bearer {TOKEN}"}


def png(pixels: Any) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def given() -> dict[str, bytes]:
    """A photograph of noise, and the mask of a disc."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    disc = (x - SIDE_PX // 2) ** 2 + (y - SIDE_PX // 2) ** 2 < (SIDE_PX // 5) ** 2
    rgb = np.random.default_rng(0).integers(0, 256, (SIDE_PX // 8, SIDE_PX // 8, 3), np.uint8)
    return {"image": png(np.kron(rgb, np.ones((8, 8, 1), np.uint8))), "mask": png(disc)}


def claims_200_megapixels() -> bytes:
    """A PNG of a hundred bytes whose header says 20,000 x 10,000 px."""
    head = (20_000).to_bytes(4) + (10_000).to_bytes(4) + bytes([8, 2, 0, 0, 0])

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


@contextmanager
def server() -> Iterator[tuple[str, int, Path]]:
    """Its address, process id and folder of temporary files."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DECOUPAGE_TOKEN": TOKEN, "TMPDIR": folder}
        command = [sys.executable, "-m", "commands.main", "serve", "--port", "0", "--device", "cpu"]
        with subprocess.Popen(command, cwd=CHECKOUT, env=environment, text=True, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            try:
                yield found[0].rstrip("/"), process.pid, Path(folder)
            finally:
                process.terminate()


def resident_mb(process: int) -> float:
    """Resident memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def added_latency(client: httpx2.Client, number: int) -> dict[str, float]:
    """The same work by HTTP and in this process, in turns."""
    import torch

    from decoupage.asked_model import AskedModel
    from decoupage.selection.objects import Networks, Wanted
    from decoupage.serve.asked import Asked, Given, Served
    from decoupage.taking_apart import Settings

    torch.set_num_threads(1)
    asked_model = AskedModel(None, None, "auto", torch.device("cpu"), torch.float32)
    served = Served(asked_model, asked_model.load(), Networks())
    served.pipe.set_progress_bar_config(disable=True)
    inside, outside, files = [], [], given()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in files]
        for path in paths:
            path.write_bytes(files[path.name])
        asked = Asked(Given(paths[0], "a"), (Given(paths[1], "b"),), Wanted([paths[1]]), Settings())
        (out := Path(folder) / "out").mkdir()
        for _ in range(number + 1):
            started_s = time.perf_counter()
            served.work(asked, out, lambda: None)
            middle_s = time.perf_counter()
            assert client.post("/v1/decompose", files=files).status_code == 200
            inside.append(middle_s - started_s)
            outside.append(time.perf_counter() - middle_s)
    pairs = list(zip(inside, outside, strict=True))[1:]
    return {
        "decompose_ms": round(1000 * statistics.median(first for first, _ in pairs), 1),
        "request_ms": round(1000 * statistics.median(second for _, second in pairs), 1),
        "added_ms": round(1000 * statistics.median(second - first for first, second in pairs), 1),
    }


def requests_a_second(client: httpx2.Client, number: int, at_once: int) -> float:
    """Good requests that are all answered."""
    files, started_s = given(), time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        statuses = list(pool.map(lambda _: client.post("/v1/decompose", files=files).status_code, range(number)))
    assert statuses == [200] * number, Counter(statuses)
    return round(number / (time.perf_counter() - started_s), 2)


def at_once(ask: Callable[[int], object], number: int = AT_ONCE) -> dict[str, int]:
    """Ask from as many threads, all at the same moment; answers by what they were."""
    together = threading.Barrier(number)

    def one(index: int) -> str:
        together.wait()
        try:
            return str(ask(index))
        except httpx2.TransportError:
            return "closed"
        except OSError:
            return "closed"

    with ThreadPoolExecutor(number) as pool:
        return dict(sorted(Counter(pool.map(one, range(number))).items()))


def raw(address: str, head: bytes, *rest: bytes, pause_s: float = 0, reads: bool = True) -> str:
    """Bytes to the server, with pauses; the status of its answer."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=180) as connection:
        connection.sendall(head.replace(b"HOST", f"Host: {host}:{port}".encode()))
        for part in rest:
            time.sleep(pause_s)
            connection.sendall(part)
        if not reads:
            time.sleep(0.3)
            return "left"
        answer = connection.recv(4096)
        return answer.split(b" ")[1].decode() if answer else "closed"


def hostile(address: str, client: httpx2.Client) -> dict[str, dict[str, int]]:
    """Kind of request -> answers by status."""
    files = given()
    request = client.build_request("POST", "/v1/decompose", files=files)
    body, kind = request.read(), request.headers["content-type"]
    head = f"POST /v1/decompose HTTP/1.1\r\nHOST\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: {kind}\r\n"
    whole = (head + f"Content-Length: {len(body)}\r\n\r\n").encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("bomb", b"\0" * 50_000_000)
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n'

    def posted(**options: Any) -> Callable[[int], int]:
        return lambda _: client.post("/v1/decompose", **options).status_code

    return {
        "closed half-way through the body": at_once(lambda _: raw(address, whole, body[:2000], reads=False)),
        "closed while it waits": at_once(lambda _: raw(address, whole, body, reads=False)),
        "one byte a second": at_once(lambda _: raw(address, whole, *[b"-"] * 90, pause_s=1), 20),
        "headers that never end": at_once(lambda _: raw(address, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 9000)),
        "wrong token": at_once(posted(files=files, headers={"Authorization": "Bearer wrong"})),
        "foreign host": at_once(posted(files=files, headers={"Host": "foreign.example"})),
        "foreign origin": at_once(posted(files=files, headers={"Origin": "https://foreign.example"})),
        "no form": at_once(posted(content=b"garbage", headers=form)),
        "a part without an end": at_once(posted(content=part + b"\r\n" + b"a" * 100_000, headers=form)),
        "a part's headers without an end": at_once(posted(content=part + b"X: " + b"a" * 1_000_000, headers=form)),
        "a thousand fields": at_once(posted(files=files, data={"point": ["1,1"] * 1000})),
        "a zip for a picture": at_once(posted(files={**files, "image": archive.getvalue()})),
        "a picture that claims 200 MP": at_once(posted(files={**files, "image": claims_200_megapixels()})),
        "65 MB": at_once(posted(files={**files, "image": b"\0" * 65_000_000}), 8),
    }


def measure(rounds: int) -> dict[str, Any]:
    """All figures."""
    limits = httpx2.Limits(max_connections=200)
    with (
        server() as (address, process, folder),
        httpx2.Client(base_url=address, headers=KNOWN, timeout=300, limits=limits) as client,
    ):
        found: dict[str, Any] = {"added_latency": added_latency(client, 12)}
        found["requests_a_second"] = {"one_client": requests_a_second(client, 20, 1)}
        found["requests_a_second"]["six_clients"] = requests_a_second(client, 24, 6)
        files = given()
        resident = [resident_mb(process)]
        floods = []
        for _ in range(rounds):
            floods.append(at_once(lambda _: client.post("/v1/decompose", files=files).status_code))
            resident.append(resident_mb(process))
        found["fifty_at_once"] = floods
        found["hostile"] = hostile(address, client)
        resident.append(resident_mb(process))
        found["fifty_at_once_after_all_that"] = at_once(lambda _: client.post("/v1/decompose", files=files).status_code)
        resident.append(resident_mb(process))
        found["resident_mb"] = [round(each) for each in resident]
        time.sleep(1)
        left = list(folder.glob("decoupage-serve-*/*"))
        found["folders_of_jobs_left"] = len(left)
        found["answers_still"] = client.get("/v1/about").status_code == 200
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--rounds", type=int, default=3, help="floods of 50 good requests")
    arguments = parser.parse_args()
    found = measure(arguments.rounds)
    print(json.dumps(found, indent=None if arguments.json else 2))


if __name__ == "__main__":
    main()
