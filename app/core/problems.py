"""Refusals on the wire: `application/problem+json` (RFC 9457) with our `code`."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from app.core.errors import Malformed, Problem, Refusal

PROBLEM_JSON = "application/problem+json"
PATH_LENGTH_MAX = 200
PROBLEMS_MAX = 100

_WORDS = {
    "missing": "is required",
    "extra_forbidden": "unknown field",
    "json_invalid": "not valid JSON",
}
"""Plainer words than pydantic's for its commonest faults."""


PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457, with a stable `code` for programs and the faults of the input, where it is at fault.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "errors"],
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "message"],
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


LIMIT_HEADERS: dict[str, Any] = {
    "Retry-After": {"description": "whole seconds, at least 1", "schema": {"type": "integer"}},
    "RateLimit-Policy": {
        "description": "each limit on submits: `q` in a window of `w` seconds",
        "schema": {"type": "string", "examples": ['"tenant";q=600;w=60, "key";q=60;w=60']},
    },
    "RateLimit": {
        "description": "of each: `r` submits left, `t` seconds until there are more",
        "schema": {"type": "string", "examples": ['"tenant";r=42;t=6, "key";r=0;t=1']},
    },
}
"""Of a 429, in the OpenAPI document."""


def problem_of(refusal: Refusal) -> dict[str, object]:
    """The problem document of a refusal, ready for JSON."""
    return {
        **refusal.extra,
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.message,
        "code": refusal.code,
        "errors": [{"path": problem.path, "message": problem.message} for problem in refusal.problems],
    }


def refusal_headers(refusal: Refusal) -> dict[str, str]:
    """What HTTP itself has to say about a refusal, whatever the shape of its body."""
    headers = dict(refusal.headers)
    if refusal.retry_after_seconds is not None:
        headers["Retry-After"] = str(refusal.retry_after_seconds)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def problem_response(refusal: Refusal) -> Response:
    """The answer to a request that is turned down."""
    return Response(
        orjson.dumps(problem_of(refusal)),
        status_code=refusal.status,
        headers=refusal_headers(refusal),
        media_type=PROBLEM_JSON,
    )


def problems_of(error: RequestValidationError) -> Malformed:
    """FastAPI's complaint as a refusal of ours: places and expectations, never what was sent."""
    problems = [
        Problem(_path(fault["loc"]), _WORDS.get(fault["type"]) or str(fault["msg"]).removeprefix("Value error, "))
        for fault in error.errors()[:PROBLEMS_MAX]
    ]
    return Malformed("; ".join(f"{problem.path}: {problem.message}" for problem in problems[:3]), problems=problems)


def _path(loc: Sequence[str | int]) -> str:
    """`("body", "scopes", 0)` as `$.scopes[0]`; `("query", "limit")` as `query limit`."""
    place, *rest = loc
    if place != "body":
        return _bounded(" ".join(str(part) for part in loc))
    if len(rest) == 1 and isinstance(rest[0], int):
        return f"$ (at character {rest[0]})"  # a fault of the JSON itself: the number is a position, not an index
    return _bounded("$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest))


def _bounded(path: str) -> str:
    # a field's name is the caller's own: cut it, and take out lone surrogates, which have no UTF-8
    return path[:PATH_LENGTH_MAX].encode("utf-8", "replace").decode()


def documented(*refusals: type[Refusal]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may refuse so; refusals that share a status share an entry.

    The `default` entry stands in for the 422 that FastAPI would otherwise document, and that we never answer.
    """
    documents: dict[int | str, dict[str, Any]] = {}
    for status in sorted({refusal.status for refusal in refusals}):
        causes = sorted({refusal.code for refusal in refusals if refusal.status == status})
        documents[status] = _document("`code`: " + ", ".join(f"`{cause}`" for cause in causes))
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            documents[status]["headers"] = LIMIT_HEADERS
    documents["default"] = _document("any other refusal")
    return documents


def _document(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {PROBLEM_JSON: {"schema": PROBLEM_SCHEMA}},
    }
