"""The study's web server: a first page, one page for each rater, pictures by opaque names, answers kept at once.

Questions come from the plan, answers go to `votes`. Nothing in an address, a header or a page says which method made a
picture.
"""

import json
import re
import secrets
import socket
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from decoupage.faults import BadSetup
from evaluation.study.folder import ID_PATTERN, Screen, Study
from evaluation.study.page import rater_page, start_page
from evaluation.study.votes import Votes, checked_answer, clean_name

MAX_BODY_BYTES = 4096
_RATERS_REMEMBERED = 256
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class _Refused(Exception):
    """A request that is refused, with its HTTP status."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def study_app(study: Study, hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")) -> Starlette:
    """The web application of a study.

    Args:
        study: the study.
        hosts: names that the server may be called by; others are refused, so that no other page can reach a server on
            loopback under a name of its own. `("*",)` = any.
    """
    desk = _Desk(study)
    return Starlette(
        routes=[
            Route("/", desk.first_page),
            Route("/start", desk.start, methods=["POST"]),
            Route("/r/{token}", desk.rater),
            Route("/r/{token}/answers", desk.answer, methods=["POST"]),
            Route("/pictures/{picture}", desk.picture),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={_Refused: _refusal},
    )


def serve_study(study: Study, host: str, port: int) -> None:
    """Serve until interrupted.

    Raises:
        BadSetup: the address cannot be listened on.
    """
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise BadSetup(f"cannot listen on {host}:{port} ({error.strerror or error}); choose another --port") from error
    with listening:
        name = f"[{host}]" if ":" in host else host
        print(f"the study is at http://{name}:{listening.getsockname()[1]}/ until Ctrl-C", flush=True)
        app = study_app(study) if is_loopback(host) else study_app(study, ("*",))
        # The log would hold raters' tokens.
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


def is_loopback(host: str) -> bool:
    """True for addresses that only this machine can reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Desk:
    """The request handlers of a study. Those that wait for the disk are plain functions, which run in threads."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.votes = Votes(study.votes, study.study_id)
        self._screens = lru_cache(_RATERS_REMEMBERED)(self._fresh_screens)

    def first_page(self, request: Request) -> Response:
        """Serve the first page, which asks for a name."""
        return HTMLResponse(start_page(self.study), headers=_HEADERS)

    async def start(self, request: Request) -> Response:
        """Add a rater and redirect to their page."""
        form = parse_qs((await _body(request)).decode("utf-8", "replace"), max_num_fields=8)
        token = secrets.token_hex(16)  # Part of their address: whoever knows it can answer for that rater.
        try:
            await run_in_threadpool(self.votes.add_rater, token, clean_name(form.get("name", [""])[0]))
        except BadSetup as fault:
            raise _Refused(503, str(fault)) from fault
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
        return Response(self.study.picture(name), media_type="image/png", headers=headers)

    def _known(self, request: Request) -> str:
        token = str(request.path_params["token"])
        if not re.fullmatch(ID_PATTERN, token) or not self.votes.has_rater(token):
            raise _Refused(404, "there is no such rater; begin at the first page")
        return token

    def _keep(self, request: Request, body: bytes) -> None:
        token = self._known(request)
        try:
            question, choice, time_s = checked_answer(json.loads(body), self._screens(token))
        except (ValueError, RecursionError) as error:
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


def _refusal(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, _Refused)
    return JSONResponse({"error": str(fault)}, status_code=fault.status, headers=_HEADERS)
