"""The HTTP API of `decoupage serve`, and the files of its page. `openapi` describes it.

Every refusal is JSON, `{"error": a sentence}`, with a status that says whose fault it is.
"""

import asyncio
import json
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from decoupage.asked_model import PACKAGED_LINE
from decoupage.faults import BadItem, BadOutput
from decoupage.guard import LOOPBACK, Guard
from decoupage.serve.answers import HANDLERS, Headers, Refused, Token, bounded, retry, too_long
from decoupage.serve.asked import ARCHIVE, MAX_FIELD_BYTES, MAX_FIELDS, MAX_OBJECTS, Asked, Served, TooLarge, read_form
from decoupage.serve.jobs import Full, Job, Jobs, Stopped
from decoupage.serve.openapi import description, description_page

HERE = Path(__file__).parent
_FILES = ("page.css", "page.js", "drawing.js", "result.js", "server.js")
PAGE = {"/": "page.html", **{f"/{name}": name for name in _FILES}}
"""Path -> file of the page; none of them holds a secret, so they are given without a token."""
OPEN = (*PAGE, "/v1/docs", "/v1/openapi.json")
"""Paths that need no token."""
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "png": "image/png", "zip": "application/zip"}
_TYPES |= {"psd": "image/vnd.adobe.photoshop", "ora": "image/openraster", "json": "application/json"}
_WHY = {
    "cancelled": (410, "the job was cancelled"),
    "left": (408, "nobody asked for the job any more, so it was stopped"),
    "too long": (504, "the job took longer than this server allows"),
    "closing": (503, "the server is shutting down"),
}
"""Why a job was stopped -> status and sentence."""


def serve_app(served: Served, jobs: Jobs, hosts: Collection[str] = LOOPBACK, token: str | None = None) -> Guard:
    """The web application, behind the guard.

    Args:
        served: the model.
        jobs: whose work is `served.work`.
        hosts: host names under which the server may be reached.
        token: what requests below /v1 have to bring; None = they need none.
    """
    desk = _Desk(served, jobs)
    app = Starlette(
        routes=[
            *(Route(path, _file_of_the_page) for path in PAGE),
            Route("/v1/openapi.json", desk.openapi),
            Route("/v1/docs", desk.docs),
            Route("/v1/about", desk.about),
            Route("/v1/select", desk.select, methods=["POST"]),
            Route("/v1/decompose", desk.decompose, methods=["POST"]),
            Route("/v1/jobs/{job}", desk.state, methods=["GET"]),
            Route("/v1/jobs/{job}", desk.delete, methods=["DELETE"]),
            Route("/v1/jobs/{job}/{file}", desk.file),
        ],
        exception_handlers=HANDLERS,
    )
    return Guard(Headers(app if token is None else Token(app, token, OPEN)), hosts)


def _file_of_the_page(request: Request) -> Response:
    name = PAGE[request.url.path]
    return Response((HERE / name).read_bytes(), media_type=_TYPES[name.rpartition(".")[2]])


class _Desk:
    """The request handlers."""

    def __init__(self, served: Served, jobs: Jobs) -> None:
        self.served, self.jobs = served, jobs

    async def openapi(self, request: Request) -> Response:
        """Describe the API for programs."""
        return JSONResponse(description(self.jobs.limits))

    async def docs(self, request: Request) -> Response:
        """Describe the API for people."""
        return HTMLResponse(description_page(description(self.jobs.limits)))

    async def about(self, request: Request) -> Response:
        """Say which model is served, and what is taken."""
        adapter, limits = self.served.pipe.adapter, self.jobs.limits
        said = self.served.model.said
        note = PACKAGED_LINE.format(size_px=adapter.size_px) if self.served.model.name is None else ""
        return JSONResponse(
            {
                "model": said["model"],
                "note": note,
                "size_px": adapter.size_px,
                "steps": adapter.num_inference_steps,
                "finds_words": self.served.finds_words,
                "max_bytes": limits.max_bytes,
                "max_pixels": limits.max_pixels,
                "max_objects": MAX_OBJECTS,
            }
        )

    async def decompose(self, request: Request) -> Response:
        """Take a picture apart: a job for who takes JSON, a zip of all files for everyone else."""
        wants_json = "application/json" in request.headers.get("accept", "")
        job, asked = await self._received(request)
        self.jobs.start(job, self.served.num_steps(asked), attended=not wants_json)
        if wants_json:
            return JSONResponse(self._said(job), status_code=202, headers={"Location": f"/v1/jobs/{job.id}"})
        try:
            await _ended_or_left(job, request)
        except ClientDisconnect:
            self.jobs.drop(job)
            raise
        if fault := job.ended.exception():
            self.jobs.drop(job)
            status, sentence = _judged(fault, asked)
            raise Refused(status, sentence, retry(status))
        headers = {"Content-Disposition": f'attachment; filename="{ARCHIVE}"'}
        done = BackgroundTask(self.jobs.drop, job)
        return FileResponse(job.made / ARCHIVE, media_type=_TYPES["zip"], headers=headers, background=done)

    async def select(self, request: Request) -> Response:
        """Find one object by a box, points or words: its mask."""
        job, asked = await self._received(request)
        try:
            if asked.masks or asked.num_objects != 1:
                raise Refused(400, "select finds one object, by a box, by points or by words")
            try:
                return Response(await run_in_threadpool(self.served.mask, asked), media_type=_TYPES["png"])
            except (BadItem, ValueError) as fault:
                raise Refused(*_judged(fault, asked)) from fault
        finally:
            self.jobs.drop(job)

    async def state(self, request: Request) -> Response:
        """Say how far a job is."""
        return JSONResponse(self._said(self._known(request)))

    async def delete(self, request: Request) -> Response:
        """Stop a job, and remove what it made."""
        await run_in_threadpool(self.jobs.drop, self._known(request))
        return Response(status_code=204)

    async def file(self, request: Request) -> Response:
        """Give one file of a job that is done."""
        job, name = self._known(request), request.path_params["file"]
        if name not in _files_of(job):
            raise Refused(404, "this job has no such file" if job.state == "done" else f"this job is {job.state}")
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return FileResponse(job.made / name, media_type=_TYPES[name.rpartition(".")[2]], headers=headers)

    def _known(self, request: Request) -> Job:
        job = self.jobs.find(request.path_params["job"])
        if job is None:
            raise Refused(404, "there is no such job; results are kept for a while only")
        return job

    def _said(self, job: Job) -> dict[str, Any]:
        said: dict[str, Any] = {"id": job.id, "state": job.state, "position": self.jobs.position(job)}
        said["progress"] = {"step": job.step, "steps": job.num_steps}
        if job.ended.done() and (fault := job.ended.exception()):
            said["status"], said["error"] = _judged(fault, job.task)
        said["files"] = _files_of(job)
        return said

    async def _received(self, request: Request) -> tuple[Job, Asked]:
        """A place, and what is asked for; refused before the body is read where that is possible."""
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != "multipart/form-data":
            raise Refused(415, "send multipart/form-data; /v1/docs says which fields", {"Connection": "close"})
        length, max_bytes = request.headers.get("content-length", ""), self.jobs.limits.max_bytes
        if length.isdigit() and int(length) > max_bytes:
            raise too_long(max_bytes)
        try:
            job = await run_in_threadpool(self.jobs.reserve)
        except Full:
            sentence = f"{self.jobs.limits.max_jobs} jobs are waiting already; try again in a while"
            raise Refused(429, sentence, retry(429) | {"Connection": "close"}) from None
        except Stopped as stopped:
            raise Refused(*_WHY[stopped.why], headers={"Connection": "close"}) from None
        asked = None
        try:
            job.task = asked = await self._form(Request(request.scope, bounded(request, max_bytes)), job)
            return job, asked
        finally:
            if asked is None:
                await run_in_threadpool(self.jobs.drop, job)

    async def _form(self, request: Request, job: Job) -> Asked:
        try:
            form = request.form(max_files=MAX_OBJECTS + 1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
            async with form as fields:
                asked = await run_in_threadpool(read_form, fields, job.given, self.jobs.limits.max_pixels)
        except FormParserError as fault:
            raise Refused(400, f"this is not multipart/form-data: {fault}", {"Connection": "close"}) from fault
        except TooLarge as fault:
            raise Refused(413, str(fault)) from fault
        except ValueError as fault:
            raise Refused(400, str(fault).replace("--", "")) from fault
        if asked.wanted.texts and not self.served.finds_words:
            raise Refused(400, "text: this server finds no words; it was started without --detector")
        return asked


def _files_of(job: Job) -> list[str]:
    """Names of what can be fetched of a job; none before it is done."""
    return sorted(path.name for path in job.made.iterdir()) if job.state == "done" else []


def _judged(fault: BaseException, asked: Asked) -> tuple[int, str]:
    """(status, sentence) of a job that is not done."""
    if isinstance(fault, Stopped):
        return _WHY[fault.why]
    if isinstance(fault, BadItem | ValueError) and not isinstance(fault, UnicodeError | json.JSONDecodeError):
        return 400, asked.sentence(fault)
    if isinstance(fault, BadOutput):
        return 500, str(fault)
    return 500, "the server failed at this job; its log says why"


async def _ended_or_left(job: Job, request: Request) -> None:
    """Wait until a job has ended. Raises ClientDisconnect: its client has left before."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(ended.set)

    job.ended.add_done_callback(tell)
    waits = [asyncio.ensure_future(ended.wait()), asyncio.ensure_future(_left(request))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
    if not ended.is_set():
        raise ClientDisconnect


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
