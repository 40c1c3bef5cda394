"""The description of the HTTP API: OpenAPI 3.1 for programs, one plain page of the same for people.

https://spec.openapis.org/oas/v3.1.1.html. The page asks nothing of other servers.
"""

from html import escape
from typing import Any

from decoupage.serve.asked import MAX_OBJECTS, MAX_POINTS, MAX_SEED, MAX_STEPS
from decoupage.serve.jobs import Limits

_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_STATES = ["waiting", "running", "done", "failed", "cancelled"]


def description(limits: Limits) -> dict[str, Any]:
    """The whole description, with the limits of a server in it."""
    takes = f"A body has at most {limits.max_bytes} bytes, a picture at most {limits.max_pixels} pixels. "
    takes += (
        f"{limits.max_jobs} jobs are received, waiting or running at a time; one runs, for {limits.run_s:g} s at most."
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "decoupage serve", "version": "1", "description": takes, "summary": "Pictures into layers"},
        "paths": {
            "/v1/about": {"get": _operation("Which model is served, and what is taken", {"200": _json("the model")})},
            "/v1/decompose": {"post": _decompose(limits)},
            "/v1/select": {
                "post": _operation(
                    "Find one object by a box, by points or by words: its mask, 1 bit, white on the object",
                    {"200": _body("the mask", "image/png", _FILE), **_refusals(400, 413, 415, 429, 503)},
                    _form("image", "box", "point", "text", "refine"),
                )
            },
            "/v1/jobs/{job}": {
                "parameters": [_path("job")],
                "get": _operation(
                    f"How far a job is. Who does not ask for {limits.left_s:g} s has left, and the job is stopped",
                    {"200": _json("the job", _JOB), **_refusals(404)},
                ),
                "delete": _operation(
                    "Stop a job, and remove what it made", {"204": {"description": "gone"}, **_refusals(404)}
                ),
            },
            "/v1/jobs/{job}/{file}": {
                "parameters": [_path("job"), _path("file")],
                "get": _operation(
                    f"A file of a job that is done; kept for {limits.keep_s:g} s after its owner asked last",
                    {"200": _body("the file", "application/octet-stream", _FILE), **_refusals(404)},
                ),
            },
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def description_page(of: dict[str, Any]) -> str:
    """The description as HTML, for people."""
    parts = [f"<h1>{escape(of['info']['title'])}</h1><p>{escape(of['info']['description'])}</p>"]
    parts.append('<p><a href="/v1/openapi.json">openapi.json</a> · <a href="/">the page</a></p>')
    for path, item in of["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            parts.append(f"<h2>{method.upper()} {escape(path)}</h2><p>{escape(operation['summary'])}.</p>")
            for kind in operation.get("requestBody", {}).get("content", {}).values():
                rows = [
                    f"<tr><td><code>{escape(name)}</code></td><td>{escape(field['description'])}</td></tr>"
                    for name, field in kind["schema"]["properties"].items()
                ]
                parts.append(f"<table><tr><th>field</th><th>what it is</th></tr>{''.join(rows)}</table>")
            answers = [f"<li>{status}: {escape(a['description'])}</li>" for status, a in operation["responses"].items()]
            parts.append(f"<ul>{''.join(answers)}</ul>")
    head = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>decoupage serve: the API</title>'
    head += (
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/page.css">'
    )
    return f'{head}</head><body class="docs"><main>{"".join(parts)}</main></body></html>'


_FIELDS: dict[str, dict[str, Any]] = {
    "image": {**_FILE, "description": "the photograph, a file: JPEG, PNG, WebP, TIFF, AVIF, BMP, GIF or PPM"},
    "mask": {
        "type": "array",
        "items": _FILE,
        "maxItems": MAX_OBJECTS,
        "description": "file of the photograph's size, white on the object; repeated: several objects, front to back",
    },
    "box": {
        "type": "array",
        "items": {"type": "string", "examples": ["120,80,360,400"]},
        "maxItems": MAX_OBJECTS,
        "description": "LEFT,TOP,RIGHT,BOTTOM in pixels; repeated: several objects, front to back",
    },
    "point": {
        "type": "array",
        "items": {"type": "string", "examples": ["240,180", "-10,10"]},
        "maxItems": MAX_POINTS,
        "description": "X,Y in pixels on the object, or -X,Y beside it; repeated: more of the same object",
    },
    "text": {
        "type": "array",
        "items": {"type": "string"},
        "maxItems": MAX_OBJECTS,
        "description": "words for the object, where the server was started with --detector; repeated: several objects",
    },
    "refine": {"type": "boolean", "default": False, "description": "draw what is in a box to its outline, by colour"},
    "prompt": {"type": "string", "description": "what the picture shows; may stay away"},
    "seed": {"type": "integer", "minimum": 0, "maximum": MAX_SEED, "default": 0, "description": "of the noise"},
    "steps": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_STEPS,
        "description": "denoising steps; by default the adapter's own",
    },
    "guidance": {"type": "number", "minimum": 0, "default": 1, "description": "adapters are trained at 1"},
    "paste_back": {
        "type": "boolean",
        "default": True,
        "description": "keep the background's pixels away from the masks exactly as they were",
    },
    "format": {
        "type": "array",
        "items": {"enum": ["psd", "ora"]},
        "description": "also write layers.psd, layers.ora",
    },
}
_JOB = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "state": {"enum": _STATES},
        "position": {"type": "integer", "description": "jobs that are done before it"},
        "progress": {
            "type": "object",
            "properties": {"step": {"type": "integer"}, "steps": {"type": "integer"}},
        },
        "files": {"type": "array", "items": {"type": "string"}},
        "error": {"type": "string"},
        "status": {"type": "integer", "description": "what the request would have been answered with"},
    },
}
_SAID = {
    400: "what was sent cannot be used; the sentence says why",
    401: "the token is lacking or wrong",
    403: "another site's page asked, or the server was called by a foreign name",
    404: "there is no such job or file",
    408: "the request came too slowly, or nobody asked for the job any more",
    413: "too many bytes or pixels",
    415: "not multipart/form-data",
    429: "no place is free; Retry-After says when to try again",
    500: "the server failed",
    503: "the server is shutting down",
    504: "the job took too long",
}


def _decompose(limits: Limits) -> dict[str, Any]:
    files = "the files of `decoupage decompose`, layers.json last"
    answers = {
        "200": _body(f"{files}; where Accept does not name application/json", "application/zip", _FILE),
        "202": _json("the job; where Accept names application/json", _JOB),
        **_refusals(400, 413, 415, 429, 500, 503, 504),
    }
    summary = "Take a picture apart; the object by exactly one of mask, box, point and text"
    return _operation(summary, answers, _form(*_FIELDS))


def _operation(summary: str, answers: dict[str, Any], body: dict[str, Any] | None = None) -> dict[str, Any]:
    common = {**answers, **_refusals(401, 403)}
    found: dict[str, Any] = {"summary": summary, "responses": dict(sorted(common.items()))}
    return found if body is None else {**found, "requestBody": body}


def _form(*names: str) -> dict[str, Any]:
    properties = {name: _FIELDS[name] for name in names}
    schema = {"type": "object", "properties": properties, "required": ["image"], "additionalProperties": False}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _body(said: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": said, "content": {kind: {"schema": schema}}}


def _json(said: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return _body(said, "application/json", schema or {"type": "object"})


def _refusals(*statuses: int) -> dict[str, Any]:
    error = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    return {
        str(status): {"description": _SAID[status]} if status == 403 else _json(_SAID[status], error)
        for status in statuses
    }
