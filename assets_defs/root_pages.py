"""Files of the root as pages on the server of Dagster's UI (`webserver.py`).

What is served was partly written by others: captions, names, pages of reports. It is on the same server as Dagster,
which obeys its own pages. So nothing that is served can act there: HTML runs as a page without an origin, all else runs
no script.
"""

import html
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from assets_defs.root_objects import StoredFile, find_object
from assets_defs.serving import MOUNT
from decoupage.faults import BadSetup
from pipelines.stages.store import Store

OPEN = ("ablations", "champion", "dataset", "library", "quarantine", "report", "study/report", "training")
"""Folders of the root that are served; the others hold what people do not read, or must not (a study's answers)."""
TYPES = {
    ".html": "text/html",
    ".md": "text/markdown",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".jsonl": "text/plain",
    ".csv": "text/plain",
}
"""Media types by suffix; no other file is served."""
MAX_PAGE_BYTES = 5_000_000
"""Largest Markdown that is shown as a page."""

_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}
_NOTHING = "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; style-src 'unsafe-inline'"
_SHOWN = f"{_NOTHING}; img-src 'self' data:"
_OWN_SCRIPTS = f"{_NOTHING}; sandbox allow-scripts; script-src 'unsafe-inline'; img-src data:"
"""For pages with scripts of their own: they belong to no site, so the guard refuses whatever they would ask for."""
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c }
img { max-width: 100%; height: auto } table { border-collapse: collapse; margin: 1rem 0 }
td, th { border: 1px solid #ccc; padding: .25rem .6rem; text-align: left } pre { overflow: auto; background: #f4f4f4 }
"""


def root_route(root: str) -> Route:
    """The route that serves a root's files, from a folder or from an object store."""
    store = Store(root)

    def serve(request: Request) -> Response:
        asked = request.path_params["path"]
        path = _found(Path(store.url("")), asked) if store.is_local else _found_object(store, asked)
        if not _is_folder(path):
            return _file(path) if isinstance(path, Path) else _object(path)
        if not request.url.path.endswith("/"):  # Else links on the page would miss the folder.
            return RedirectResponse(f"{quote(request.url.path)}/", headers=_HEADERS)
        entries = path.iterdir() if isinstance(path, Path) else path.entries()
        return _page(path.name, "".join(_links((entry.name, _is_folder(entry)) for entry in entries)))

    return Route(MOUNT + "/{path:path}", serve)


def _is_folder(path: Path | StoredFile) -> bool:
    return path.is_dir() if isinstance(path, Path) else path.is_folder


def _found(root: Path, path_in_root: str) -> Path:
    """The file or folder that a request names, links followed. HTTPException 404: there is none, or it is not open."""
    try:
        path = (root / path_in_root.rstrip("/")).resolve(strict=True)
        opened = any(path.is_relative_to((root / folder).resolve()) for folder in OPEN)
    except (OSError, ValueError, RuntimeError):  # ValueError: a NUL in the path; RuntimeError: links in a circle.
        opened = False
    if not opened or not (path.is_dir() or (path.is_file() and path.suffix in TYPES)):
        raise _nothing(path_in_root)
    return path


def _found_object(store: Store, path_in_root: str) -> StoredFile:
    """As `_found`, in an object store. HTTPException 503: the store cannot be read."""
    path = path_in_root.rstrip("/")
    if not any(f"{path}/".startswith(f"{folder}/") for folder in OPEN):
        raise _nothing(path_in_root)
    try:
        found = find_object(store, path)
    except BadSetup as fault:
        raise HTTPException(503, str(fault)) from fault
    if found is None or not (found.is_folder or PurePath(found.name).suffix in TYPES):
        raise _nothing(path_in_root)
    return found


def _nothing(path_in_root: str) -> HTTPException:
    return HTTPException(404, f"the root has no page {path_in_root!r}: not made yet, or of another profile")


def _file(path: Path) -> Response:
    if path.suffix == ".md" and path.stat().st_size <= MAX_PAGE_BYTES:
        return _page(path.name, _rendered(path.read_text(encoding="utf-8", errors="replace")))
    return FileResponse(path, media_type=TYPES[path.suffix], headers=_headers(path.suffix))


def _object(found: StoredFile) -> Response:
    suffix = PurePath(found.name).suffix
    if suffix == ".md" and found.num_bytes <= MAX_PAGE_BYTES:
        return _page(found.name, _rendered(found.read().decode(errors="replace")))
    headers = _headers(suffix) | {"Content-Length": str(found.num_bytes)}
    return StreamingResponse(found.chunks(), media_type=TYPES[suffix], headers=headers)


def _headers(suffix: str) -> dict[str, str]:
    return _HEADERS | {"Content-Security-Policy": _OWN_SCRIPTS if suffix == ".html" else _SHOWN}


def _links(entries: Iterable[tuple[str, bool]]) -> Iterator[str]:
    """A folder's files and folders as links, pictures as themselves.

    Args:
        entries: name, and whether it is a folder.
    """
    for name, is_folder in sorted(entries):
        suffix = PurePath(name).suffix
        if is_folder or suffix in TYPES:
            address = quote(name) + ("/" if is_folder else "")
            picture = f'<br><img src="{address}" alt="" loading="lazy">' if suffix in (".jpg", ".png") else ""
            yield f'<p><a href="{address}">{html.escape(name)}</a>{picture}</p>'


def _page(title: str, body: str) -> HTMLResponse:
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    page = f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>"
    return HTMLResponse(page, headers=_HEADERS | {"Content-Security-Policy": _SHOWN})


def _rendered(markdown: str) -> str:
    """Markdown as HTML. Tags in it stay text; a YAML header, which data cards begin with, is left out."""
    from markdown_it import MarkdownIt

    if markdown.startswith("---\n"):
        markdown = markdown.partition("\n---\n")[2]
    return MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
