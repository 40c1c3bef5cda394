"""The objects of a root in S3 or a server that speaks its protocol.

s3fs holds the client; requests are made with it directly, so that each costs one request and only one layer retries:
botocore's, with back-off and jitter. What botocore cannot retry, a body that breaks off, is retried here.
"""

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpchecksum import FlexibleChecksumError
from fsspec.asyn import sync

from decoupage.faults import BadSetup
from pipelines.stages.objects import AT_ONCE, PIECE_BYTES, Objects
from pipelines.stages.s3_faults import explain, is_absent, status_of
from pipelines.stages.s3_upload import Upload

ATTEMPTS = 8
"""Attempts at a request before it is a fault; the waits between them grow to 20 s, a minute in all on average."""
CONNECT_S, ANSWER_S = 10, 60
_BODY_FAULTS = (BotoCoreError, aiohttp.ClientError, OSError, TimeoutError, FlexibleChecksumError)
"""How the body of an answer breaks off."""
_MARK = "written-by"
"""Name of the metadata by which a conditional write knows its own object again: attempts may be repeated unseen."""
T = TypeVar("T")


class S3Objects(Objects):
    """Objects below one prefix of a bucket."""

    faults = (OSError, BotoCoreError, ClientError, aiohttp.ClientError)

    def __init__(self, root: str, attempts: int = ATTEMPTS) -> None:
        self._attempts = attempts
        super().__init__(root)
        self.bucket, _, self.prefix = self.base.partition("/")

    @property
    def endpoint(self) -> str | None:
        """Address of the server; None = AWS's own."""
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None

    def options(self) -> tuple[tuple[str, Any], ...]:
        """The one place that says how S3 is asked."""
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return (
            ("endpoint_url", self.endpoint),
            ("client_kwargs", (("region_name", region),) if region else ()),
            # Another process's objects must show at once.
            ("use_listings_cache", False),
            (
                "config_kwargs",
                (
                    ("retries", (("mode", "standard"), ("total_max_attempts", self._attempts))),
                    ("connect_timeout", CONNECT_S),
                    ("read_timeout", ANSWER_S),
                    ("max_pool_connections", 2 * AT_ONCE),
                ),
            ),
        )

    def explain(self, error: BaseException, path: str, doing: str) -> Exception:
        """See `Objects.explain`."""
        return explain(error, self.url(path), self.bucket, self.endpoint, doing)

    def key(self, path: str) -> str:
        """The key of a path."""
        return "/".join(part for part in (self.prefix, path) if part)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the client's own thread."""
        return cast(T, sync(self.fs.loop, lambda: coroutine))

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """One call of the client for this bucket."""
        client = await self.fs.set_session()
        for attempt in range(1, self._attempts):
            try:
                return cast(dict[str, Any], await getattr(client, method)(Bucket=self.bucket, **arguments))
            except aiohttp.ClientError:  # The answer broke off.
                await pause(attempt)
        return cast(dict[str, Any], await getattr(client, method)(Bucket=self.bucket, **arguments))

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

    def names(self, folder: str) -> list[str]:
        """Names directly below a folder, of objects and of folders, by one listing."""
        return [key.rstrip("/") for key, _ in self.run(self._listed(folder, "/"))]

    def tree(self, folder: str) -> list[str]:
        """Paths, relative to a folder, of all objects below it, by one listing."""
        return list(self.versions(folder))

    def versions(self, folder: str) -> dict[str, str]:
        """Path relative to a folder -> ETag, of all objects below it, by one listing."""
        return dict(self.run(self._listed(folder, "")))

    async def _listed(self, folder: str, delimiter: str) -> list[tuple[str, str]]:
        """(key after the folder, ETag); folders end in `/` and have none."""
        prefix = f"{self.key(folder)}/".lstrip("/")
        found: list[tuple[str, str]] = []
        async for page in self.pages("list_objects_v2", Prefix=prefix, Delimiter=delimiter):
            found += [(entry["Key"][len(prefix) :], entry["ETag"]) for entry in page.get("Contents", ())]
            found += [(entry["Prefix"][len(prefix) :], "") for entry in page.get("CommonPrefixes", ())]
        # Consoles make empty objects for folders.
        return [(key, tag) for key, tag in found if key and (delimiter or not key.endswith("/"))]

    async def pages(self, method: str, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        """The pages of a listing."""
        while True:
            page = await self.call(method, **arguments)
            yield page
            if not page.get("IsTruncated"):
                return
            if method == "list_objects_v2":
                arguments["ContinuationToken"] = page["NextContinuationToken"]
            else:
                arguments |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

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


async def pause(attempt: int) -> None:
    """Wait before another attempt, by chance, so that many processes do not come back at the same instant."""
    await asyncio.sleep(random.uniform(0.0, min(20.0, 0.2 * 2**attempt)))
