"""Answers for refusals: `application/problem+json` (RFC 9457) with our `code`."""

from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app.core.errors import PROBLEMS_MAX, Malformed, Problem, Refusal, malformed_at, path_of
from app.core.near import did_you_mean

PROBLEM_JSON = "application/problem+json"
PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "An error (RFC 9457): `code` is stable and for programs; `errors` lists the faults of the input.",
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
        "description": "each limit on submits: `q` submits in a window of `w` seconds",
        "schema": {"type": "string", "examples": ['"tenant";q=600;w=60, "key";q=60;w=60']},
    },
    "RateLimit": {
        "description": "of each limit: `r` submits remain, `t` seconds until there are more",
        "schema": {"type": "string", "examples": ['"tenant";r=42;t=6, "key";r=0;t=1']},
    },
}
"""The headers of a 429 in the OpenAPI document."""


def problem_of(refusal: Refusal) -> dict[str, object]:
    """Return the problem document of a refusal, ready for JSON."""
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
    """Return the HTTP headers of a refusal, for any shape of body."""
    headers = dict(refusal.headers)
    if refusal.retry_after_seconds is not None:
        headers["Retry-After"] = str(refusal.retry_after_seconds)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def problem_response(refusal: Refusal) -> Response:
    """Return the answer to a refused request."""
    return Response(
        orjson.dumps(problem_of(refusal)),
        status_code=refusal.status,
        headers=refusal_headers(refusal),
        media_type=PROBLEM_JSON,
    )


_EXPECTED = {
    "missing": "is required",
    "json_invalid": "not valid JSON",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "int_type": "expected a whole number, such as 50",
    "int_parsing": "expected a whole number, such as 50",
    "int_from_float": "expected a whole number, such as 50",
    "int_parsing_size": "expected a whole number, such as 50",
    "float_type": "expected a number, such as 1.5",
    "float_parsing": "expected a number, such as 1.5",
    "finite_number": "expected a number, such as 1.5",
    "string_type": "expected a string",
    "string_unicode": "expected text without lone surrogates (not valid in UTF-8)",
    "list_type": 'expected a list, such as ["a", "b"]',
    "dict_type": "expected a JSON object",
    "model_type": "expected a JSON object",
    "model_attributes_type": "expected a JSON object",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "string_too_short": "expected at least {min_length} characters",
    "string_too_long": "expected at most {max_length} characters",
    "string_pattern_mismatch": "expected text that matches {pattern}",
    "too_short": "expected at least {min_length} items",
    "too_long": "expected at most {max_length} items",
    "literal_error": "expected one of {expected}",
    "enum": "expected one of {expected}",
}
"""Our messages for pydantic's error types. `{…}` is a value from pydantic's context."""


def problems_of(error: RequestValidationError, *, fields: Collection[str] = ()) -> Malformed:
    """Turn FastAPI's error into our refusal, with places and expectations but no sent values. `fields`: the known fields, to
    suggest one for a misspelt name."""
    faults = error.errors()[:PROBLEMS_MAX]
    return malformed_at(*(Problem(_path(fault["loc"]), _expected(fault, fields)) for fault in faults))


def body_fields(request: Request) -> Collection[str]:
    """Return the fields of the body that the request's route accepts, or none."""
    body = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(body, "field_info", None), "annotation", None)
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        return ()
    return [field.alias or name for name, field in model.model_fields.items()]


def _expected(fault: Mapping[str, Any], fields: Collection[str]) -> str:
    if fault["type"] == "extra_forbidden":
        return f"unknown field{did_you_mean(str(fault['loc'][-1]), fields)}"
    words = _EXPECTED.get(fault["type"])
    if words is None:
        return str(fault["msg"]).removeprefix("Value error, ")
    return words.format_map(fault.get("ctx") or {})


def _path(loc: Sequence[str | int]) -> str:
    """Format `("body", "scopes", 0)` as `$.scopes[0]`, and `("query", "limit")` as `query limit`."""
    place, *rest = loc
    if place != "body":
        return path_of((), " ".join(str(part) for part in loc))
    if len(rest) == 1 and isinstance(rest[0], int):
        return f"$ (at character {rest[0]})"  # for invalid JSON the number is a position, not an index
    return path_of(rest)


def documented(*refusals: type[Refusal]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route with these refusals. Refusals with the same status share an entry.

    The `default` entry replaces the 422 that FastAPI would document and that we never send.
    """
    documents: dict[int | str, dict[str, Any]] = {}
    for status in sorted({refusal.status for refusal in refusals}):
        causes = sorted({refusal.code for refusal in refusals if refusal.status == status})
        documents[status] = _document("`code`: " + ", ".join(f"`{cause}`" for cause in causes))
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            documents[status]["headers"] = LIMIT_HEADERS
    documents["default"] = _document("any other error")
    return documents


def _document(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {PROBLEM_JSON: {"schema": PROBLEM_SCHEMA}},
    }
