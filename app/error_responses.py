"""Render errors as responses: problem documents on our own surfaces, the upstream's format elsewhere."""

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.core.errors import Refusal
from app.core.logs.log import get_logger
from app.segmind.schemas import refusal_response
from app.web.problems import body_fields, problem_response, problems_of
from app.web.server.rules import allowed_methods

log = get_logger(__name__)

OURS = ("/api/", "/admin/")
"""Paths with these prefixes answer problem documents; all others answer the upstream's format."""
PLAIN_CODES = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed"}


class PlainRefusal(Refusal):
    """An error of Starlette: no such path, a wrong method, or a body that it cannot parse."""

    def __init__(self, error: HTTPException) -> None:
        super().__init__(str(error.detail), headers=error.headers)
        self.status = error.status_code  # type: ignore[misc]
        self.code = PLAIN_CODES.get(error.status_code, "http_error")  # type: ignore[misc]


class Broken(Refusal):
    """500: an error of ours, which is logged."""

    status = 500
    code = "internal_error"

    def __init__(self) -> None:
        super().__init__("internal error; it was logged")


def handle_errors(app: FastAPI) -> None:
    """Register the error handlers of this module."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _broken)


def _shaped(request: Request, refusal: Refusal) -> Response:
    return problem_response(refusal) if request.url.path.startswith(OURS) else refusal_response(refusal)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _shaped(request, error)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _shaped(request, problems_of(error, fields=body_fields(request)))


def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refusal = PlainRefusal(error)
    if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED:
        refusal.headers["Allow"] = allowed_methods(request.app.routes, request.scope)
    return _shaped(request, refusal)


def _broken(request: Request, error: Exception) -> Response:
    log.error("request.broken", path=request.url.path, exc_info=error)
    return _shaped(request, Broken())
