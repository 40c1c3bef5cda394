"""The objects of a root in S3 or a server that speaks its protocol; each read, write and look is one request.

What botocore cannot retry, a body that breaks off, is retried here.
"""

import asyncio
import io
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpchecksum import FlexibleChecksumError

from decoupage.faults import BadSetup
from pipelines.stages.objects import AT_ONCE, PIECE_BYTES
from pipelines.stages.s3_client import ATTEMPTS, S3Client, pause
from pipelines.stages.s3_faults import is_absent, status_of
from pipelines.stages.s3_reading import Reading
from pipelines.stages.s3_upload import Upload

_BODY_FAULTS = (BotoCoreError, aiohttp.ClientError, OSError, TimeoutError, FlexibleChecksumError)
"""How the body of an answer breaks off."""
_MARK = "written-by"
"""Name of the metadata by which a conditional write knows its own object again: attempts may be repeated unseen."""


class S3Objects(S3Client):
    """Objects below one prefix of a bucket."""

    def look(self) -> None:
        """Ask for one key below the prefix, at most three times: somebody waits for the answer."""
        quick = S3Objects(self.url(""), attempts=3)
        quick.run(quick.call("list_objects_v2", Prefix=self.key(""), MaxKeys=1))

    # ---- reading

    def exists(self, path: str) -> bool:
        """True when the object exists."""
        try:
            self._head(path)
        except ClientError as error:
            if is_absent(error):
                return False
            raise
        return True

    def _head(self, path: str) -> dict[str, Any]:
        return self.run(self.call("head_object", Key=self.key(path)))

    def version(self, path: str) -> str:
        """The object's ETag."""
        return str(self._head(path)["ETag"])

    def size(self, path: str) -> int:
        """Size in bytes."""
        return int(self._head(path)["ContentLength"])

    def read(self, path: str, max_bytes: int) -> bytes:
        """The whole object, by one request."""
        return self.run(self._read(path, max_bytes))

    def read_many(self, paths: Sequence[str], max_bytes: int) -> list[bytes | None]:
        """Whole objects, in order, several at once; None for an absent one."""
        return self.run(self._read_many(paths, max_bytes))

    async def _read_many(self, paths: Sequence[str], max_bytes: int) -> list[bytes | None]:
        free = asyncio.Semaphore(AT_ONCE)

        async def read(path: str) -> bytes | None:
            async with free:
                try:
                    return await self._read(path, max_bytes)
                except ClientError as error:
                    if is_absent(error):
                        return None
                    raise

        return list(await asyncio.gather(*(read(path) for path in paths)))

    def read_range(self, path: str, offset: int, num_bytes: int) -> bytes:
        """A part of an object, by one request."""
        if num_bytes <= 0:
            return b""
        try:
            return self.run(self._read(path, num_bytes, Range=f"bytes={offset}-{offset + num_bytes - 1}"))
        except ClientError as error:
            if status_of(error) == 416:  # It begins behind the end.
                return b""
            raise

    def read_part(self, path: str, offset: int, num_bytes: int, version: str) -> bytes:
        """A part of this version of an object, which it is long enough for."""
        part = f"bytes={offset}-{offset + num_bytes - 1}"
        return self.run(self._read(path, num_bytes, Range=part, IfMatch=version))

    def open(self, path: str) -> BinaryIO:
        """An object, to be read in pieces; its errors are BadSetup."""
        about = self._head(path)
        reading = Reading(self, path, int(about["ContentLength"]), str(about["ETag"]))
        return io.BufferedReader(reading, 2 * PIECE_BYTES)

    async def _read(self, path: str, max_bytes: int, **arguments: Any) -> bytes:
        for attempt in range(1, ATTEMPTS + 1):
            answer = await self.call("get_object", Key=self.key(path), **arguments)
            async with answer["Body"] as body:
                if answer["ContentLength"] > max_bytes:
                    body.close()
                    raise self.too_large(path, answer["ContentLength"], max_bytes)
                try:
                    return bytes(await body.read())
                except _BODY_FAULTS:
                    if attempt == ATTEMPTS:
                        raise
            await pause(attempt)
        raise AssertionError("the last attempt returns or raises")

    # ---- writing

    def create(self, path: str, data: bytes) -> str | None:
        """Write an object where there is none (`If-None-Match: *`); its version, or None where there is one."""
        return self._put_if(path, data, IfNoneMatch="*")

    def replace(self, path: str, data: bytes, version: str) -> str | None:
        """Write over this version (`If-Match`); the new version, or None when it is another one or gone."""
        return self._put_if(path, data, IfMatch=version)

    def _put_if(self, path: str, data: bytes, **condition: str) -> str | None:
        return self.run(self._put_if_async(path, data, condition))

    async def _put_if_async(self, path: str, data: bytes, condition: dict[str, str]) -> str | None:
        mark = {_MARK: secrets.token_hex(16)}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await self.call("put_object", Key=self.key(path), Body=data, Metadata=mark, **condition)
                return str(answer["ETag"])
            except ClientError as error:
                if status_of(error) == 412:
                    return await self._own(path, mark)
                if is_absent(error):
                    return None
                # Of writes at the same instant S3 may refuse all but want them again.
                if status_of(error) != 409 or attempt == ATTEMPTS:
                    raise
            await pause(attempt)
        raise AssertionError("the last attempt returns or raises")

    async def _own(self, path: str, mark: dict[str, str]) -> str | None:
        """The version of an object that an attempt whose answer was lost has written; None when it is another's."""
        try:
            there = await self.call("head_object", Key=self.key(path))
        except ClientError as error:
            if is_absent(error):
                return None
            raise
        return str(there["ETag"]) if there.get("Metadata") == mark else None

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """A file that appears under `path` only when the block ends without an exception."""
        upload = Upload(self, path)
        try:
            yield cast(BinaryIO, upload)
            upload.finish()
        except BaseException:
            upload.abort()
            raise

    def remove(self, path: str) -> None:
        """Remove an object; nothing happens when it is absent."""
        self.run(self.call("delete_object", Key=self.key(path)))

    def remove_tree(self, folder: str) -> None:
        """Remove all objects below a folder, a thousand at a time."""
        keys = [f"{self.key(folder)}/{path}".lstrip("/") for path in self.tree(folder)]
        for at in range(0, len(keys), 1000):
            objects = [{"Key": key} for key in keys[at : at + 1000]]
            answer = self.run(self.call("delete_objects", Delete={"Objects": objects, "Quiet": True}))
            if left := answer.get("Errors"):
                raise BadSetup(f"{len(left)} objects below {self.url(folder)} stay ({left[0].get('Code')}); run again")

    def download(self, path: str, target: Path) -> None:
        """Copy an object to a local file; where the body breaks off, the rest is asked for."""
        self.run(self._download(path, target))

    async def _download(self, path: str, target: Path) -> None:
        num_bytes, failed = 0, 0
        condition: dict[str, str] = {}
        with target.open("wb") as file:
            while True:
                answer = await self.call("get_object", Key=self.key(path), **condition)
                try:
                    async with answer["Body"] as body:
                        while piece := await body.read(PIECE_BYTES):
                            file.write(piece)
                            num_bytes, failed = num_bytes + len(piece), 0
                    return
                except _BODY_FAULTS:
                    failed += 1
                    if failed == ATTEMPTS:
                        raise
                condition = {"IfMatch": answer["ETag"], "Range": f"bytes={num_bytes}-"}
                await pause(failed)
