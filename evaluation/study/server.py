"""The study's web server: a first page, one page for each rater, pictures by opaque names, answers kept at once.

Questions come from the plan, answers go to `votes`. Nothing in an address, a header or a page says which method made a
picture.
"""

import logging
import re
import secrets
import time
from collections import deque
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from decoupage.faults import BadSetup
from decoupage.guard import LOOPBACK, Guard
from decoupage.serve.connections import SETTINGS, address_of, listen, own_names
from decoupage.text_files import parse_json
from evaluation.study.folder import ID_PATTERN, Screen, Study
from evaluation.study.page import message_page, rater_page, start_page
from evaluation.study.votes import TooManyRaters, Votes, checked_answer, clean_name

log = logging.getLogger(__name__)
MAX_BODY_BYTES, MAX_FIELDS = 4096, 8
MAX_STARTS_A_MINUTE = 60
"""Raters that may begin within a minute, from all addresses together: behind a proxy addresses say little."""
_RATERS_REMEMBERED = 256
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # With `no-referrer` browsers send forms from origin "null", which the guard refuses.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class _Refused(Exception):
    """A request that is refused, with its HTTP status."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def study_app(study: Study, hosts: Collection[str] = LOOPBACK) -> Guard:
    """The web application of a study, behind the guard.

    Args:
        study: the study.
        hosts: host names under which the server may be reached.

    Raises:
        BadSetup: the database of answers is damaged.
    """
    desk = _Desk(study)
    app = Starlette(
        routes=[
            Route("/", desk.first_page),
            Route("/start", desk.start, methods=["POST"]),
            Route("/r/{token}", desk.rater),
            Route("/r/{token}/answers", desk.answer, methods=["POST"]),
            Route("/pictures/{picture}", desk.picture),
        ],
        exception_handlers={_Refused: _refusal, BadSetup: _out_of_order, ClientDisconnect: _gone},
    )
    return Guard(app, hosts)


def serve_study(study: Study, host: str, port: int, names: Collection[str] = ()) -> None:
    """Serve until interrupted.

    Args:
        study: the study.
        host: address to listen on.
        port: 0 = any free one.
        names: host names under which raters reach the server, in addition to its own.

    Raises:
        BadSetup: the address cannot be listened on, or the database of answers is damaged.
    """
    hosts = (*own_names(host), *(name.lower() for name in names))
    app = study_app(study, hosts)
    with listen(host, port) as listening:
        print(f"the study is at {address_of(listening)} until Ctrl-C", flush=True)
        print(f"it accepts the host names {', '.join(hosts)}; add others with --name", flush=True)
        # The log would hold raters' tokens.
        config = uvicorn.Config(app, log_level="error", access_log=False, **SETTINGS)
        uvicorn.Server(config).run(sockets=[listening])


class _Desk:
    """The request handlers of a study. Those that wait for the disk are plain functions, which run in threads."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.votes = Votes(study.votes, study.study_id)
        self._screens = lru_cache(_RATERS_REMEMBERED)(self._fresh_screens)
        self._starts_s: deque[float] = deque(maxlen=MAX_STARTS_A_MINUTE)

    def first_page(self, request: Request) -> Response:
        """Serve the first page, which asks for a name."""
        return HTMLResponse(start_page(self.study), headers=_HEADERS)

    async def start(self, request: Request) -> Response:
        """Add a rater and redirect to their page."""
        try:
            form = parse_qs((await _body(request)).decode("utf-8", "replace"), max_num_fields=MAX_FIELDS)
        except ValueError:
            raise _Refused(422, f"a form has at most {MAX_FIELDS} fields") from None
        now_s = time.monotonic()
        if len(self._starts_s) == MAX_STARTS_A_MINUTE and now_s - self._starts_s[0] < 60:
            return _too_many("Many people have just started. Wait a minute, go back and start again.")
        self._starts_s.append(now_s)
        token = secrets.token_hex(16)  # Part of their address: anyone who knows it can answer for that rater.
        try:
            await run_in_threadpool(self.votes.add_rater, token, clean_name(form.get("name", [""])[0]))
        except TooManyRaters:
            return _too_many("This study has as many raters as it can take. Thank you for coming.")
        return RedirectResponse(f"/r/{token}", status_code=303, headers=_HEADERS)

    def rater(self, request: Request) -> Response:
        """Serve a rater's page, with their answers so far."""
        token = self._known(request)
        answered = {vote.question: vote.choice for vote in self.votes.all(token)}
        page = rater_page(self.study, token, list(self._screens(token).values()), answered)
        return HTMLResponse(page, headers=_HEADERS)

    async def answer(self, request: Request) -> Response:
        """Keep one answer; it is confirmed only once it is on disk."""
        # A form on another site can post, but not with this type.
        if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
            raise _Refused(415, "answers are application/json")
        body = await _body(request)
        await run_in_threadpool(self._keep, request, body)
        return JSONResponse({"saved": True}, headers=_HEADERS)

    def picture(self, request: Request) -> Response:
        """Serve a picture by its public name, without dates or tags that could distinguish it."""
        name = request.path_params["picture"]
        if not re.fullmatch(ID_PATTERN, name) or name not in self.study.picture_ids:
            raise _Refused(404, "there is no such picture")
        headers = _HEADERS | {"Cache-Control": "private, max-age=86400, immutable"}
        try:
            data = self.study.picture(name)
        except OSError as error:
            raise BadSetup(f"a picture of {self.study.root} cannot be read: {error}") from error
        return Response(data, media_type="image/png", headers=headers)

    def _known(self, request: Request) -> str:
        token = str(request.path_params["token"])
        if not re.fullmatch(ID_PATTERN, token) or not self.votes.has_rater(token):
            raise _Refused(404, "there is no such rater; start at the first page")
        return token

    def _keep(self, request: Request, body: bytes) -> None:
        token = self._known(request)
        try:
            question, choice, time_s = checked_answer(parse_json(body, "the answer"), self._screens(token))
        except (ValueError, BadSetup) as error:
            raise _Refused(422, str(error)) from error
        self.votes.add(token, question, choice, time_s)

    def _fresh_screens(self, token: str) -> dict[str, Screen]:
        return {screen.id: screen for screen in self.study.screens(token)}


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(413, f"a request's body holds at most {MAX_BODY_BYTES} bytes")
    return body


def _too_many(sentence: str) -> Response:
    page = message_page("Not available right now", sentence)
    return HTMLResponse(page, status_code=429, headers=_HEADERS | {"Retry-After": "60"})


def _refusal(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, _Refused)
    # What is left of a body that is too long is not waited for.
    headers = _HEADERS | ({"Connection": "close"} if fault.status == 413 else {})
    return JSONResponse({"error": str(fault)}, status_code=fault.status, headers=headers)


def _out_of_order(request: Request, fault: Exception) -> Response:
    """The study's own files are at fault: the log says why; raters do not see it."""
    log.error("%s", fault)
    said = "the study cannot continue right now; please tell the person who runs it"
    return JSONResponse({"error": said}, status_code=503, headers=_HEADERS)


def _gone(request: Request, fault: Exception) -> Response:
    """The client has left; this is never read."""
    return Response(status_code=400)
