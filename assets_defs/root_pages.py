"""Files of the root as pages on the server of Dagster's UI (`webserver.py`).

What is served was partly written by others: captions, names, pages of reports. It is on the same server as Dagster,
which obeys its own pages. So nothing that is served can act there: HTML runs as a page without an origin, all else runs
no script.
"""

import html
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from assets_defs.serving import MOUNT

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
    """The route that serves a root's files. A root that is not a local folder has none."""

    def serve(request: Request) -> Response:
        path = _found(Path(root), request.path_params["path"])
        if not path.is_dir():
            return _file(path)
        if not request.url.path.endswith("/"):  # Else links on the page would miss the folder.
            return RedirectResponse(f"{quote(request.url.path)}/", headers=_HEADERS)
        return _page(path.name, "".join(_entries(path)))

    return Route(MOUNT + "/{path:path}", serve)


def _found(root: Path, path_in_root: str) -> Path:
    """The file or folder that a request names, links followed. HTTPException 404: there is none, or it is not open."""
    try:
        path = (root / path_in_root.rstrip("/")).resolve(strict=True)
        opened = any(path.is_relative_to((root / folder).resolve()) for folder in OPEN)
    except (OSError, ValueError, RuntimeError):  # ValueError: a NUL in the path; RuntimeError: links in a circle.
        opened = False
    if not opened or not (path.is_dir() or (path.is_file() and path.suffix in TYPES)):
        raise HTTPException(404, f"the root has no page {path_in_root!r}: not made yet, or of another profile")
    return path


def _file(path: Path) -> Response:
    if path.suffix == ".md" and path.stat().st_size <= MAX_PAGE_BYTES:
        return _page(path.name, _rendered(path.read_text(encoding="utf-8", errors="replace")))
    policy = _OWN_SCRIPTS if path.suffix == ".html" else _SHOWN
    kind = TYPES[path.suffix]
    return FileResponse(path, media_type=kind, headers=_HEADERS | {"Content-Security-Policy": policy})


def _entries(folder: Path) -> Iterator[str]:
    """A folder's files and folders as links, pictures as themselves."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() or path.suffix in TYPES:
            name, address = html.escape(path.name), quote(path.name) + ("/" if path.is_dir() else "")
            picture = f'<br><img src="{address}" alt="" loading="lazy">' if path.suffix in (".jpg", ".png") else ""
            yield f'<p><a href="{address}">{name}</a>{picture}</p>'


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
