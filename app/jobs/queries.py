"""Reads of jobs. Each takes its tenant's id, except those for the engine."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.jobs.estimates.line import NO_LIMIT, PLACES_MAX, RANKS_MAX, RECENT_MAX, Line, Sent
from app.jobs.estimates.schedule import SAMPLES_MAX
from app.jobs.rows import EventJob, JobResult, WholeJob


class RunTimes(NamedTuple):
    """A model's latest values in seconds, newest first, and its published mean."""

    model: str
    samples: list[float] | None
    published: float | None


class _LineRow(NamedTuple):
    """A row of `read_line.sql`. Instants are seconds since 1970 by the database's clock."""

    read_at: float
    queued: int
    ready: int
    claimed: int
    in_flight: int
    max_in_flight: int | None
    max_queued: int | None
    ranks: list[float]
    last_rank: float | None
    models: list[str]
    waited_seconds: float | None
    sent_models: list[str] | None
    sent_at: list[float] | None
    finished_at: list[float | None] | None
    paused: list[str]
    forbidden: list[str]
    upstream_paused_seconds: float


class _Owner(NamedTuple):
    at: float
    tenant_id: UUID


_SQL = SqlFolder(__file__)
_LIST_RUN_TIMES = _SQL.query("list_run_times", RunTimes)
_LIST_DURATIONS = _SQL.query("list_durations", RunTimes)
_READ_LINE = _SQL.query("read_line", _LineRow)
_FIND_RESULT = _SQL.query("find_result", JobResult)
_FIND_STATE = _SQL.query("find_state", str)
_LIST_FINISHED = _SQL.query("list_finished", UUID)
_FIND_JOB = _SQL.query("find_job", WholeJob)
_LIST_JOBS_OF_EVENTS = _SQL.query("list_jobs_of_events", EventJob)
_GET_MICRO_IN_FLIGHT = _SQL.query("get_micro_in_flight", int)
_IS_ACCEPTED_SINCE = _SQL.query("is_accepted_since", bool)
_FIND_OWNER = _SQL.query("find_owner", _Owner)
_READ_CLOCK = _SQL.query("read_clock", datetime)


async def list_run_times(session: ReadSession, *, models: Sequence[str]) -> list[tuple[str, list[float], float | None]]:
    """Return for each model its latest run times in seconds, newest first, and the published mean."""
    rows = await session.rows(_LIST_RUN_TIMES, models=list(models), samples_max=SAMPLES_MAX)
    return [(row.model, row.samples or [], row.published) for row in rows]


async def list_durations(session: ReadSession, *, models: Sequence[str]) -> list[tuple[str, list[float], float | None]]:
    """Return for each model the durations of its latest jobs, newest first, and the published mean: seconds from the sending
    until the end was known."""
    rows = await session.rows(_LIST_DURATIONS, models=list(models), samples_max=SAMPLES_MAX)
    return [(row.model, row.samples or [], row.published) for row in rows]


async def read_line(session: ReadSession, *, tenant_id: UUID) -> Line:
    """Return the tenant's line as it is now. Reads at most RANKS_MAX + RECENT_MAX rows, however many jobs wait."""
    row = await session.get_row(
        _READ_LINE, tenant_id=tenant_id, ranks_max=RANKS_MAX, places_max=PLACES_MAX, recent_max=RECENT_MAX
    )  # every tenant has a queue
    sent = zip(row.sent_models or (), row.sent_at or (), row.finished_at or (), strict=True)
    return Line(
        read_at=row.read_at,
        queued=row.queued,
        ready=row.ready,
        claimed=row.claimed,
        in_flight=row.in_flight,
        max_in_flight=NO_LIMIT if row.max_in_flight is None else row.max_in_flight,
        max_queued=NO_LIMIT if row.max_queued is None else row.max_queued,
        ranks=row.ranks,
        last_rank=row.last_rank or 0.0,
        models=row.models,
        waited_seconds=max(row.waited_seconds or 0.0, 0.0),
        recent=[Sent(*one) for one in sent],
        paused="" in row.paused,
        paused_models=frozenset(row.paused) - {""},
        forbidden_models=frozenset(row.forbidden),
        upstream_paused_seconds=row.upstream_paused_seconds,
    )


async def find_result(session: ReadSession, *, tenant_id: UUID, job_id: UUID) -> JobResult | None:
    """Return what the upstream's own surface shows of a job: see JobResult."""
    return await session.find_row(_FIND_RESULT, job_id=job_id, tenant_id=tenant_id)


async def find_state(session: ReadSession, *, tenant_id: UUID, job_id: UUID) -> str | None:
    """Return only the state."""
    return await session.find_value(_FIND_STATE, job_id=job_id, tenant_id=tenant_id)


async def list_finished(session: ReadSession, *, job_ids: Sequence[UUID]) -> list[UUID]:
    """Return which of these jobs have ended, of any tenant. For waiting requests whose notification may be lost."""
    return await session.values(_LIST_FINISHED, job_ids=list(job_ids))


async def find_job(session: ReadSession, *, tenant_id: UUID, job_id: UUID) -> WholeJob | None:
    """Return all that the native API shows of a job."""
    return await session.find_row(_FIND_JOB, job_id=job_id, tenant_id=tenant_id)


async def list_jobs_of_events(
    session: ReadSession, *, job_ids: Sequence[UUID], result_bytes_max: int
) -> list[EventJob]:
    """Return all that events show of these jobs; of results larger than `result_bytes_max` only the size."""
    return await session.rows(_LIST_JOBS_OF_EVENTS, job_ids=list(job_ids), result_bytes_max=result_bytes_max)


async def get_micro_in_flight(session: ReadSession) -> int:
    """Return the holds of all jobs in flight, in micro-credits: more than the upstream has reserved. One statement."""
    return await session.get_value(_GET_MICRO_IN_FLIGHT)


async def find_accepted_since(session: ReadSession, *, job_id: UUID) -> bool:
    """Return whether the upstream accepted a submit since it refused this job because of the account. One statement."""
    return await session.get_value(_IS_ACCEPTED_SINCE, job_id=job_id)


async def find_owner(session: ReadSession, *, job_id: UUID) -> tuple[float, UUID]:
    """Return the database's clock, in seconds since 1970, and the tenant of a claimed job. One statement."""
    return await session.get_row(_FIND_OWNER, job_id=job_id)  # a claimed job has a row


async def read_clock(session: ReadSession) -> datetime:
    """Return the time of the database's clock. One statement."""
    return await session.get_value(_READ_CLOCK)
