"""The client of S3 or of a server that speaks its protocol: how it is asked, and what it lists.

s3fs holds the client; requests are made with it directly, so that each costs one request and only one layer retries:
botocore's, with back-off and jitter.
"""

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Coroutine
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from fsspec.asyn import sync

from pipelines.stages.objects import AT_ONCE, Entry, Objects
from pipelines.stages.s3_faults import explain, status_of

ATTEMPTS = 8
"""Attempts at a request before it is a fault; the waits between them grow to 20 s, a minute in all on average."""
CONNECT_S, ANSWER_S = 10, 60
logging.getLogger("aiobotocore.credentials").setLevel(logging.WARNING)  # It tells where each client's keys are from.
T = TypeVar("T")


class S3Client(Objects):
    """A bucket, its client, and listings of it."""

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

    # ---- listing

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

    def entries(self, folder: str = "") -> dict[str, Entry]:
        """All objects below a folder, by path relative to it, hidden ones too."""
        return dict(self.run(self._entries(folder)))

    async def _entries(self, folder: str) -> list[tuple[str, Entry]]:
        prefix = f"{self.key(folder)}/".lstrip("/")
        return [
            (entry["Key"][len(prefix) :], Entry(entry["Size"], entry["ETag"], _age_s(page, entry["LastModified"])))
            async for page in self.pages("list_objects_v2", Prefix=prefix)
            for entry in page.get("Contents", ())
        ]

    def unfinished_uploads(self) -> list[tuple[str, Entry]]:
        """(path, upload) of those below the root that were begun and neither finished nor aborted."""
        return self.run(self._uploads())

    async def _uploads(self) -> list[tuple[str, Entry]]:
        prefix = f"{self.prefix}/".lstrip("/")
        found = []
        async for page in self.pages("list_multipart_uploads", Prefix=prefix):
            for upload in page.get("Uploads", ()):
                about = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
                size = sum(part["Size"] for part in (await self.call("list_parts", **about)).get("Parts", ()))
                entry = Entry(size, upload["UploadId"], _age_s(page, upload["Initiated"]))
                found.append((upload["Key"][len(prefix) :], entry))
        return found

    def abort_upload(self, path: str, upload: str) -> None:
        """Forget an unfinished upload; nothing happens when it is gone."""
        try:
            self.run(self.call("abort_multipart_upload", Key=self.key(path), UploadId=upload))
        except ClientError as error:
            if status_of(error) != 404:
                raise

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


async def pause(attempt: int) -> None:
    """Wait before another attempt, by chance, so that many processes do not come back at the same instant."""
    await asyncio.sleep(random.uniform(0.0, min(20.0, 0.2 * 2**attempt)))


def _age_s(answer: dict[str, Any], then: datetime) -> float:
    """Seconds between a time and that of the server's answer."""
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return (now - then).total_seconds()
