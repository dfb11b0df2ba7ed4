"""Routes of the upstream-shaped surface: plain Starlette ones, a quarter of the cost of routes with dependencies."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope as AsgiScope

from app.catalog.check import RESERVED, SLUG, checked_slug
from app.core import clock
from app.core.database.db import retry_read
from app.core.errors import Refusal, StoreUnavailable, Unauthorized
from app.core.faults import Faults
from app.core.ids import find_id, show_id
from app.core.off_loop import run_sized
from app.core.strict_json import JsonInvalid
from app.jobs.models import FINAL, State, Surface
from app.jobs.operations import JobNotFound
from app.jobs.rows import JobResult
from app.jobs.submit.service import NOT_STORED, JobRequest
from app.jobs.submit.writer import Stored
from app.ledger.queries import BalanceRow, get_balance
from app.limits.strangers import submitter
from app.segmind.media import media_response
from app.segmind.openapi import paths
from app.segmind.schemas import (
    ResultWithdrawn,
    accepted_body,
    credits_body,
    json_response,
    refusal_response,
    result_response,
    status_of,
    status_response,
)
from app.segmind.steady import Poll
from app.tenants.auth import Principal, ScopeMissing, TenantSuspended
from app.tenants.models import Scope
from app.web.bodies import Bodies
from app.web.prefer import Wait, preferred_wait
from app.web.requests import (
    checked_deadline,
    checked_metadata,
    checked_priority,
    idempotency_key,
    malformed,
    plain_seconds,
    single_header,
    whole_number,
)
from app.webhooks.emit import JobWebhook
from app.webhooks.schemas import checked_job_webhook

SYNC_SECONDS = 25.0
SYNC_SECONDS_MAX = 300.0


class StillRunning(Refusal):
    """504: the wait is over, and the job continues."""

    status = 504
    code = "still_running"

    def __init__(self, shown: str, base_url: str, wait: Wait) -> None:
        super().__init__(
            "the job is still running; its result can be fetched later",
            extra={
                "request_id": shown,
                "status_url": f"{base_url}/v2/requests/{shown}/status",
                "response_url": f"{base_url}/v2/requests/{shown}",
            },
            headers=wait.headers,
        )


def refusing(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Turn a Refusal into this surface's error body."""

    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except Refusal as refusal:
            return refusal_response(refusal)

    return answered


async def _principal(request: Request, scope: Scope) -> Principal:
    headers = request.headers
    principal: Principal = await request.app.state.keyring.authenticate(
        x_api_key=headers.get("x-api-key"), authorization=headers.get("authorization")
    )
    principal.require(scope)
    return principal


async def _submit(request: Request, surface: Surface) -> tuple[Principal, Stored, dict[str, str]]:
    """Accept a job. Returns the principal, the stored job and headers for the answer. Records and raises a Refusal."""
    submit_service = request.app.state.submit_service
    model: str = request.path_params["model"]
    who: Principal | None = None
    try:
        who = principal = await submitter(request)
        submit_service.admit(principal)
        principal.require(Scope.JOBS_WRITE)
        checked_slug(model)
        body = await request.app.state.bodies.read(request, principal.allowance)
        asked = await _asked(request, principal, surface, model, body)
        stored: Stored
        stored, headers = await submit_service.accept(asked)
    except Refusal as refusal:
        await submit_service.note_refusal(refusal, surface=surface, who=who, model=model, status=status_of(refusal))
        raise
    if stored.replayed:
        await submit_service.note_replay(asked, stored)
        headers["Idempotent-Replayed"] = "true"
    return principal, stored, headers


async def _asked(request: Request, principal: Principal, surface: Surface, model: str, body: bytes) -> JobRequest:
    """Read the submit from a request. Faults of its headers are in the result, to be reported with those of its parameters."""
    headers, faults = request.headers, Faults()
    bodies: Bodies = request.app.state.bodies
    key = metadata = priority = deadline = webhook = None
    parameters = await bodies.parse(body, principal.allowance)
    with faults:
        key = idempotency_key(headers)
    with faults:
        if (text := single_header(headers, "X-Metadata")) is not None:
            metadata = checked_metadata(await _header_object(bodies, principal, text), "header X-Metadata")
    with faults:
        if (text := single_header(headers, "X-Priority")) is not None:
            priority = checked_priority(whole_number(text), "header X-Priority")
    with faults:
        if (text := single_header(headers, "X-Deadline-Seconds")) is not None:
            deadline = checked_deadline(plain_seconds(text), "header X-Deadline-Seconds")
    with faults:
        webhook = _webhook(request)
    return JobRequest(
        principal=principal,
        surface=surface,
        model=model,
        body=body,
        parameters=parameters,
        idempotency_key=key,
        metadata=metadata,
        priority=5 if priority is None else priority,
        deadline_seconds=deadline,
        webhook=webhook,
        faults=tuple(faults.problems),
    )


async def _header_object(bodies: Bodies, principal: Principal, text: str) -> dict[str, Any]:
    try:
        return await bodies.parse(text.encode("latin-1"), principal.allowance, what="the header")
    except JsonInvalid as error:
        raise malformed(
            "header X-Metadata", f'expected a JSON object, such as {{"team": "a"}}; {error.message}'
        ) from None


def _webhook(request: Request) -> JobWebhook | None:
    url, lists = single_header(request.headers, "X-Webhook-Url"), request.headers.getlist("x-webhook-events")
    return checked_job_webhook(
        url,
        [one.strip() for one in ",".join(lists).split(",")] if lists else None,
        request.app.state.guard,
        where=("header X-Webhook-Url", "header X-Webhook-Events"),
    )


@refusing
async def submit(request: Request) -> Response:
    """`POST /v2/{model}`: stores the job before the answer."""
    _principal, stored, headers = await _submit(request, Surface.SEGMIND)
    return json_response(accepted_body(request.app.state.public_url, stored.job_id), headers=headers)


@refusing
async def submit_and_wait(request: Request) -> Response:
    """`POST /v1/{model}`: waits for the job. Answers with the media or JSON, or 504 if the job still runs."""
    principal, stored, _headers = await _submit(request, Surface.SEGMIND_SYNC)
    state = request.app.state
    wait = preferred_wait(request.headers, default=SYNC_SECONDS, wait_seconds_max=SYNC_SECONDS_MAX)
    row: JobResult | None = None
    with contextlib.suppress(StoreUnavailable):  # the job is stored: the client needs its id, which 504 contains
        row = await state.reader.wait_for_result(principal.tenant_id, stored.job_id, wait.seconds)
    if row is None or State(row.state) not in FINAL:
        raise StillRunning(show_id("job", stored.job_id), state.public_url, wait)
    completed = row.state == State.COMPLETED
    answer = await media_response(state.downloads, row) if completed else result_response(state.public_url, row)
    answer.headers.update(wait.headers)
    return answer


async def _asked_for(request: Request) -> tuple[Principal, UUID]:
    """Who reads, and the job id; the job may not exist. Raises JobNotFound if the id is not valid."""
    principal = await retry_read(lambda: _principal(request, Scope.JOBS_READ))
    job_id = find_id("job", request.path_params["request_id"])
    if job_id is None:
        raise JobNotFound
    return principal, job_id


@refusing
async def get_status(request: Request) -> Response:
    """`GET /v2/requests/{id}/status`. A steady poll is held until the job ends, at most for the client's interval."""
    arrived_at = clock.monotonic()
    state = request.app.state
    principal, job_id = await _asked_for(request)
    poll: Poll | None = None

    async def patience() -> float:
        nonlocal poll
        poll = await state.steady_polls.arrived(principal.key_id, job_id, arrived_at=arrived_at)
        return poll.held_seconds

    row: JobResult | None = await state.reader.wait_for_result(principal.tenant_id, job_id, patience)
    if row is None:
        raise JobNotFound
    response = await run_sized(len(row.body or b""), lambda: status_response(state.public_url, row))
    if poll is not None and State(row.state) not in FINAL:
        gone = poll.held_seconds > 0 and await request.is_disconnected()
        state.steady_polls.answered(poll, gone=gone)  # last: the client's interval begins with its answer
    return response


@refusing
async def get_result(request: Request) -> Response:
    """`GET /v2/requests/{id}` and `GET /v1/requests/{id}`. 410 if the result was withdrawn."""
    state = request.app.state
    principal, job_id = await _asked_for(request)
    row: JobResult | None = await state.reader.find_result(principal.tenant_id, job_id)
    if row is None:
        raise JobNotFound
    return await run_sized(len(row.body or b""), lambda: result_response(state.public_url, row))


@refusing
async def get_credits(request: Request) -> Response:
    """`GET /v1/get-user-credits`: the tenant's available credits."""
    principal = await retry_read(lambda: _principal(request, Scope.BILLING_READ))

    async def read() -> BalanceRow:
        async with request.app.state.database.snapshot(principal.tenant_id, point=True) as session:
            return await get_balance(session, tenant_id=principal.tenant_id)

    return json_response(credits_body((await retry_read(read)).available))


class SlugConvertor(StringConvertor):
    """A segment of a path that may be the slug of a model."""

    regex = rf"(?!(?:{'|'.join(sorted(RESERVED))})(?:/|$)){SLUG.pattern}"


register_url_convertor("slug", SlugConvertor())

known_routes: list[BaseRoute] = [
    Route("/v1/get-user-credits", get_credits, methods=["GET"]),
    Route("/v2/requests/{request_id}/status", get_status, methods=["GET"]),
    Route("/v2/requests/{request_id}", get_result, methods=["GET"]),
    Route("/v1/requests/{request_id}", get_result, methods=["GET"]),
    Route("/v2/{model:slug}", submit, methods=["POST"]),
    Route("/v1/{model:slug}", submit_and_wait, methods=["POST"]),
]


class NoModel(Route):
    """A POST whose path cannot name a model. It is refused and recorded as any submit. Other methods are 404."""

    def matches(self, scope: AsgiScope) -> tuple[Match, AsgiScope]:
        """Match only POSTs to paths that none of `known_routes` matches."""
        match, found = super().matches(scope)
        if match is not Match.FULL or any(route.matches(scope)[0] is not Match.NONE for route in known_routes):
            return Match.NONE, {}
        return match, found


routes = [
    *known_routes,
    NoModel("/v2/{model:path}", submit, methods=["POST"]),
    NoModel("/v1/{model:path}", submit_and_wait, methods=["POST"]),
]

NEEDS_KEY = (Unauthorized, ScopeMissing, StoreUnavailable)
NOT_SUBMITTED = (*NEEDS_KEY, TenantSuspended, *NOT_STORED)
OPENAPI_PATHS = paths(
    submit=NOT_SUBMITTED,
    submit_and_wait=(*NOT_SUBMITTED, StillRunning, ResultWithdrawn),
    status=(*NEEDS_KEY, JobNotFound),
    result=(*NEEDS_KEY, JobNotFound, ResultWithdrawn),
    credits=NEEDS_KEY,
)
