"""Bodies of the upstream-shaped surface. A body of the upstream is returned byte for byte, except two members."""

import json
from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

from app.core.credits import show_credits
from app.core.errors import Refusal
from app.core.ids import show_id
from app.jobs.models import STATUS, State, Status
from app.jobs.rows import JobResult
from app.upstream.discretion import may_be_shown
from app.upstream.json_members import NotAnObject, slices
from app.upstream.wire import rewritten
from app.web.problems import refusal_headers

JSON = "application/json"


class ResultWithdrawn(Refusal):
    """410: the result belonged to another request, and was taken from this one."""

    status = 410
    code = "result_withdrawn"

    def __init__(self) -> None:
        super().__init__("the result was withdrawn: it belonged to another request")


def json_response(content: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer with this JSON."""
    return Response(content, status_code=status, headers=headers, media_type=JSON)


def status_of(refusal: Refusal | type[Refusal]) -> int:
    """The upstream uses 406 instead of 402."""
    return 406 if refusal.status == 402 else refusal.status


def refusal_response(refusal: Refusal) -> Response:
    """The answer for a refusal: `error`, `code`, its extra members, `errors`."""
    body: dict[str, object] = {"error": refusal.message, "code": refusal.code, **refusal.extra}
    if refusal.problems:
        body["errors"] = [{"path": problem.path, "message": problem.message} for problem in refusal.problems]
    return json_response(orjson.dumps(body), status=status_of(refusal), headers=refusal_headers(refusal))


def request_urls(base_url: str, shown: str) -> dict[str, str]:
    """The three URLs of a request, absolute and on the gateway, because the SDK uses them exactly as given."""
    return {
        "poll_url": f"{base_url}/v1/requests/{shown}",
        "status_url": f"{base_url}/v2/requests/{shown}/status",
        "response_url": f"{base_url}/v2/requests/{shown}",
    }


def accepted_body(base_url: str, job_id: UUID) -> bytes:
    """The answer to a submit."""
    shown = show_id("job", job_id)
    return orjson.dumps({"request_id": shown, "status": "QUEUED", **request_urls(base_url, shown)})


def status_response(base_url: str, row: JobResult) -> Response:
    """The answer of `GET …/status`: 200 until the job ends and if COMPLETED, 422 if failed or canceled."""
    state = State(row.state)
    if state in (State.FAILED, State.CANCELED):
        return failed_response(row)
    shown = show_id("job", row.id)
    urls = request_urls(base_url, shown)
    metrics: Any = {}
    if state is State.COMPLETED and not row.withdrawn:
        metrics = _raw_metrics(row)
    body = {
        "status": STATUS[state],
        "request_id": shown,
        "status_url": urls["status_url"],
        "response_url": urls["response_url"],
        "metrics": metrics,
    }
    return json_response(orjson.dumps(body))


def result_response(base_url: str, row: JobResult) -> Response:
    """The answer of `GET …/requests/{id}`: the upstream's body if COMPLETED, else as the status. Raises ResultWithdrawn."""
    if row.state != State.COMPLETED:
        return status_response(base_url, row)
    return json_response(shown_result(row))


def shown_result(row: JobResult) -> bytes:
    """The upstream's body of a COMPLETED job, with the job's id and the tenant's remaining credits, not the company's. Raises
    ResultWithdrawn."""
    if row.withdrawn:
        raise ResultWithdrawn
    assert row.body is not None, "of a COMPLETED job"
    assert row.available_micro is not None
    remaining = credits_number(row.available_micro)
    return rewritten(row.body, request_id=show_id("job", row.id), remaining_credits=remaining)


def credits_number(micro: int) -> str:
    """Micro-credits as the upstream shows credits: a JSON number."""
    whole, _, decimals = show_credits(micro).partition(".")
    return f"{whole}.{decimals.rstrip('0') or '0'}"


def credits_body(micro: int) -> bytes:
    """The body of `GET /v1/get-user-credits`."""
    return b'{"credits":%b}' % credits_number(micro).encode()


def failed_response(row: JobResult) -> Response:
    """422 for a failed or canceled job: status FAILED, the gateway's `code`, and as `error` the upstream's value verbatim, or
    the job's message if that may not be shown."""
    shown = show_id("job", row.id)
    parts = _raw_parts(row.body, shown)
    if row.state == State.CANCELED:
        code, error = "canceled", orjson.dumps("the job was canceled").decode()
    else:
        code, error = row.error_code or "", parts.get("error", "null")
        if not may_be_shown(error, row.message):
            error = json.dumps(row.message)
    body = {
        "status": Status.FAILED,
        "request_id": shown,
        "error": orjson.Fragment(error.encode("utf-8", "surrogateescape")),
        "code": code,
        "metrics": orjson.Fragment(parts.get("metrics", "{}").encode("utf-8", "surrogateescape")),
    }
    return json_response(orjson.dumps(body), status=422)


def _raw_parts(body: bytes | None, shown: str) -> dict[str, str]:
    """The raw `error` and `metrics` of a failed job's body, without the company's remaining credits."""
    if body is None:
        return {}
    try:
        return slices(rewritten(body, request_id=shown, remaining_credits=None), "error", "metrics")
    except NotAnObject:
        return {}


def _raw_metrics(row: JobResult) -> orjson.Fragment:
    try:
        metrics = slices(shown_result(row), "metrics").get("metrics", "{}")
    except NotAnObject:
        metrics = "{}"
    return orjson.Fragment(metrics.encode("utf-8", "surrogateescape"))
