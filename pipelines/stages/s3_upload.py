"""An object that is written in pieces: one request for a small one, a multipart upload for a large one.

Memory is bounded by a few parts, and parts are sent while the next one is made.
"""

import asyncio
import hashlib
import io
import logging
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger(__name__)
PART_BYTES = 16 << 20
"""Size of the first parts; S3 takes 10,000 parts, so each thousand of parts doubles it: 5 TB is S3's own bound."""
IN_FLIGHT = 2
"""Number of parts that are sent while the next one is made."""


class Bucket(Protocol):
    """A bucket and its client."""

    fs: Any

    def key(self, path: str) -> str:
        """The key of a path."""
        ...

    def told(self, path: str, doing: str) -> AbstractContextManager[None]:
        """Turns what the server says inside the block into faults."""
        ...

    def run(self, coroutine: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        """Run a coroutine on the client's own thread."""
        ...

    def call(self, method: str, **arguments: Any) -> Coroutine[Any, Any, dict[str, Any]]:
        """One call of the client for this bucket."""
        ...


class Upload(io.BufferedIOBase):
    """A file for writing whose object appears by `finish`, and never otherwise. Its methods raise BadSetup.

    Args:
        objects: the bucket.
        path: of the object.

    Attributes:
        version: ETag of the finished object.
    """

    version = ""

    def __init__(self, objects: Bucket, path: str) -> None:
        self._objects, self._path, self._key = objects, path, objects.key(path)
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._sent: deque[Future[dict[str, Any]]] = deque()
        self._tags: list[str] = []
        self._num_parts = self._num_bytes = 0

    def writable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Number of bytes written so far."""
        return self._num_bytes

    def write(self, data: Any) -> int:
        """Take bytes; a full part is sent."""
        view = memoryview(data).cast("B")
        for at in range(0, len(view), PART_BYTES):
            self._buffer += view[at : at + PART_BYTES]
            if len(self._buffer) >= (size := PART_BYTES << (self._num_parts // 1000)):
                with self._objects.told(self._path, "written"):
                    self._send(bytes(memoryview(self._buffer)[:size]))
                del self._buffer[:size]
        self._num_bytes += len(view)
        return len(view)

    def finish(self) -> None:
        """Let the object appear."""
        with self._objects.told(self._path, "written"):
            self._finish()

    def _finish(self) -> None:
        objects = self._objects
        if self._upload_id is None:
            answer = objects.run(objects.call("put_object", Key=self._key, Body=bytes(self._buffer)))
            self.version = str(answer["ETag"])
            return
        if self._buffer:
            self._send(bytes(self._buffer))
            self._buffer.clear()
        while self._sent:
            self._collect()
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(self._tags, start=1)]
        about = {"Key": self._key, "UploadId": self._upload_id}
        try:
            call = objects.call("complete_multipart_upload", **about, MultipartUpload={"Parts": parts})
            self.version = str(objects.run(call)["ETag"])
        except ClientError as error:
            # An attempt before, whose answer was lost, may have finished it.
            if error.response["Error"].get("Code") != "NoSuchUpload" or not self._is_there():
                raise
        self._upload_id = None

    def abort(self) -> None:
        """Forget what was sent; where the server does not hear of it, `decoupage prune` finds the parts."""
        self._buffer.clear()
        for part in self._sent:
            part.cancel()
        if self._upload_id is None:
            return
        objects = self._objects
        try:
            objects.run(objects.call("abort_multipart_upload", Key=self._key, UploadId=self._upload_id))
        except (ClientError, BotoCoreError, OSError) as error:
            log.warning("the unfinished upload of %s stays (%s); `decoupage prune` removes it", self._key, error)
        self._upload_id = None

    def _send(self, data: bytes) -> None:
        objects = self._objects
        if self._upload_id is None:
            answer = objects.run(objects.call("create_multipart_upload", Key=self._key))
            self._upload_id = str(answer["UploadId"])
        while len(self._sent) >= IN_FLIGHT:
            self._collect()
        self._num_parts += 1
        call = objects.call(
            "upload_part", Key=self._key, UploadId=self._upload_id, PartNumber=self._num_parts, Body=data
        )
        self._sent.append(asyncio.run_coroutine_threadsafe(call, objects.fs.loop))

    def _collect(self) -> None:
        self._tags.append(str(self._sent.popleft().result()["ETag"]))

    def _is_there(self) -> bool:
        """Whether the object that is there was made of these parts; S3 makes its ETag of theirs."""
        objects = self._objects
        whole = hashlib.md5(b"".join(bytes.fromhex(tag.strip('"')) for tag in self._tags), usedforsecurity=False)
        try:
            there = objects.run(objects.call("head_object", Key=self._key))
        except ClientError:
            return False
        return bool(there["ETag"].strip('"') == f"{whole.hexdigest()}-{len(self._tags)}")
