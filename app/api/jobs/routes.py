"""Routes of the native surface for jobs: submit, read, list, cancel."""

from dataclasses import replace
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams

from app.api.callers import ALWAYS, JobsReader, JobsWriter, authenticated
from app.api.jobs.asked import asked_job
from app.api.jobs.bodies import canceled_body, job_body, page_body
from app.api.jobs.schemas import CanceledJobOut, JobIn, JobOut, JobPage
from app.core.crash import crash_point
from app.core.database.db import retry_read
from app.core.errors import Refusal
from app.core.faults import Faults
from app.core.ids import find_id, show_id
from app.core.off_loop import run_sized
from app.jobs.models import FINAL, STATUS, State, Status, Surface
from app.jobs.operations import JobFinished, JobNotFound, request_cancel
from app.jobs.reading.eta_estimator import NO_ESTIMATE, Estimate
from app.jobs.reading.listing import JobFilter, list_jobs
from app.jobs.rows import WholeJob
from app.jobs.submit.service import NOT_STORED
from app.limits.strangers import submitter
from app.tenants.auth import Principal, TenantSuspended
from app.tenants.models import Scope
from app.web.fields import Instant
from app.web.paging import LIMIT_DEFAULT, cut_page, parse_cursor
from app.web.prefer import preferred_wait
from app.web.problems import documented
from app.web.query import CheckedRoute, Limit, check_query
from app.web.requests import (
    METADATA_MEMBERS_MAX,
    checked_text,
    checked_wait,
    idempotency_key,
    malformed,
)

PREFER_WAIT_MAX = 300.0
QUERY_WAIT_MAX = 60.0
SUBMIT_HEADERS = {
    "Idempotency-Key": "1 to 255 printable ASCII characters; a submit with the same key can be repeated and makes one job",
    "Prefer": "`wait=N`, in seconds, at most 300 (25 without N): answer when the job ends; `Preference-Applied` returns N",
}

METADATA_PARAMETER = {
    "name": "metadata.{key}",
    "in": "query",
    "description": f"jobs whose metadata has this value at `key`; at most {METADATA_MEMBERS_MAX} of them",
    "schema": {"type": "string"},
    "example": "a",
}

router = APIRouter(prefix="/api/v1", tags=["jobs"], route_class=CheckedRoute)
submit_router = APIRouter(prefix="/api/v1", tags=["jobs"])
"""For submits. It has no CheckedRoute: the route itself checks the query, so that it also records that refusal."""


def _json(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(content, status_code=status, headers=headers, media_type="application/json")


def _job_id(shown: str) -> UUID:
    job_id = find_id("job", shown)
    if job_id is None:
        raise JobNotFound
    return job_id


@submit_router.post(
    "/jobs",
    status_code=202,
    response_class=Response,
    responses={
        202: {"model": JobOut, "description": "Accepted and stored."},
        201: {"model": JobOut, "description": "Finished within the wait."},
        200: {"model": JobOut, "description": "The existing job of this idempotency key."},
        **documented(*ALWAYS, TenantSuspended, *NOT_STORED),
    },
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": JobIn.model_json_schema()}}},
        "parameters": [
            {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
            for name, description in SUBMIT_HEADERS.items()
        ],
    },
)
async def submit_job(request: Request) -> Response:
    """Submit a job. With an `Idempotency-Key` the request can be repeated; `Prefer: wait=N` waits until the job ends."""
    submit_service, base_url = request.app.state.submit_service, request.app.state.public_url
    who: Principal | None = None
    model: str | None = None
    key: str | None = None
    faults = Faults()
    try:
        who = principal = await submitter(request)
        submit_service.admit(principal)
        principal.require(Scope.JOBS_WRITE)
        body = await request.app.state.bodies.read(request, principal.allowance)
        given = await request.app.state.bodies.parse(body, principal.allowance)
        model = given["model"] if isinstance(given.get("model"), str) else None
        with faults:
            check_query(request)
        with faults:
            key = idempotency_key(request.headers)
        asked = await asked_job(principal, given, body, key, request.app.state.guard, faults)
        stored, limits = await submit_service.accept(asked)
    except Refusal as refusal:
        await submit_service.note_refusal(refusal, surface=Surface.NATIVE, who=who, model=model)
        raise
    if stored.replayed:
        await submit_service.note_replay(asked, stored)
    del body, given, asked  # free large objects before a wait that may be long
    wait = preferred_wait(request.headers, default=0.0, wait_seconds_max=PREFER_WAIT_MAX)
    row: WholeJob | None = await request.app.state.reader.wait_for_job(principal.tenant_id, stored.job_id, wait.seconds)
    if row is None:
        raise JobNotFound
    location = f"{base_url}/api/v1/jobs/{show_id('job', stored.job_id)}"
    headers = {**limits, **wait.headers, "Location": location}
    content = await _content(base_url, row, request.app.state.eta.of_new(principal.tenant_id, row))
    if stored.replayed:
        return _json(content, 200, {**headers, "Idempotent-Replayed": "true"})
    return _json(content, 201 if wait.seconds and State(row.state) in FINAL else 202, headers)


@router.get(
    "/jobs/{job_id}",
    response_class=Response,
    responses={200: {"model": JobOut}, **documented(*ALWAYS, JobNotFound)},
)
async def get_job(request: Request, job_id: str, wait: str | None = None) -> Response:
    """One job. With `wait=N`, at most 60, the answer comes when the job ends or after N seconds."""
    principal = await retry_read(lambda: authenticated(request, Scope.JOBS_READ))
    seconds = checked_wait(wait, where="query wait", wait_seconds_max=QUERY_WAIT_MAX) if wait is not None else 0.0
    row = await request.app.state.reader.wait_for_job(principal.tenant_id, _job_id(job_id), seconds)
    if row is None:
        raise JobNotFound
    return await _shown(request, principal, row)


@router.get(
    "/jobs",
    response_class=Response,
    responses={200: {"model": JobPage}, **documented(*ALWAYS)},
    openapi_extra={"parameters": [METADATA_PARAMETER]},
)
async def list_jobs_of_tenant(
    request: Request,
    caller: JobsReader,
    status: Status | None = None,
    model: str | None = None,
    created_after: Instant = None,
    created_before: Instant = None,
    cursor: str | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> Response:
    """The tenant's jobs, newest first; `metadata.k=v` filters, too.

    A page may have fewer items than `limit`, or none, and still a `next_cursor`: one request looks at a limited number of
    jobs. The list is complete when `next_cursor` is null.
    """
    wanted = JobFilter(
        after=parse_cursor("job", cursor),
        states=None if status is None else [state for state, shown in STATUS.items() if shown is status],
        model=None if model is None else _slug(model),
        created_after=created_after,
        created_before=created_before,
        metadata=_metadata_filter(request.query_params),
    )
    found = await caller.read(
        lambda session: list_jobs(session, tenant_id=caller.tenant_id, wanted=wanted, limit=limit + 1)
    )
    page = cut_page(found.rows, limit=limit, cursor_of=lambda row: show_id("job", row.id))
    if found.scanned_to is not None:
        page = replace(page, next_cursor=show_id("job", found.scanned_to))
    estimates = await request.app.state.eta.of_jobs(caller.tenant_id, page.items)
    return _json(await page_body(request.app.state.public_url, page, estimates))


def _metadata_filter(query: QueryParams) -> dict[str, str]:
    """The `metadata.k=v` of a query string."""
    wanted = {name: value for name, value in query.items() if name.startswith("metadata.")}
    if len(wanted) > METADATA_MEMBERS_MAX:
        raise malformed(
            "query metadata",
            f"expected at most {METADATA_MEMBERS_MAX} of them, as no job has more, e.g. metadata.team=a",
        )
    return {
        checked_text(name, f"query {name}").removeprefix("metadata."): checked_text(value, f"query {name}")
        for name, value in wanted.items()
    }


def _slug(text: str) -> str:
    if not text:
        raise malformed("query model", "expected the slug of a model, such as motionctrl-svd")
    return checked_text(text, "query model")


@router.post(
    "/jobs/{job_id}/cancel",
    status_code=200,
    response_class=Response,
    responses={
        200: {"model": CanceledJobOut, "description": "The job was queued and is now canceled. Nothing is charged."},
        202: {
            "model": CanceledJobOut,
            "description": "The upstream may be running the job and cannot cancel it. No result is delivered. The hold stays"
            " until the job ends; then its true cost is charged, and it becomes CANCELED.",
        },
        **documented(*ALWAYS, TenantSuspended, JobNotFound, JobFinished),
    },
)
async def cancel_job(request: Request, caller: JobsWriter, job_id: str) -> Response:
    """Cancel a job.

    A job that was not sent yet is canceled at once and not charged. The upstream cannot cancel a job that it has started: such
    a job delivers no result, but its true cost is charged. `notice` in the answer says which case applies.
    """
    state, principal = request.app.state, caller.principal
    wanted = _job_id(job_id)
    async with caller.transaction() as session:
        crash_point("cancel.before_store")
        became = await request_cancel(session, tenant_id=caller.tenant_id, job_id=wanted)
    crash_point("cancel.after_store")
    if became is State.CANCELED:
        state.doorbell.announce([wanted])
    row = await state.reader.find_job(principal.tenant_id, wanted)
    if row is None:
        raise JobNotFound
    at_once = became is State.CANCELED
    estimate = await _estimate(request, principal, row)
    content = canceled_body(state.public_url, row, estimate, at_once=at_once)
    return _json(content, 200 if at_once else 202)


async def _shown(request: Request, principal: Principal, row: WholeJob) -> Response:
    """The answer with the current state of a job and its ETA."""
    estimate = await _estimate(request, principal, row)
    return _json(await _content(request.app.state.public_url, row, estimate))


async def _estimate(request: Request, principal: Principal, row: WholeJob) -> Estimate:
    estimates: dict[UUID, Estimate] = await request.app.state.eta.of_jobs(principal.tenant_id, [row])
    return estimates.get(row.id, NO_ESTIMATE)


async def _content(base_url: str, row: WholeJob, estimate: Estimate) -> bytes:
    return await run_sized(len(row.body or b""), lambda: job_body(base_url, row, estimate))
