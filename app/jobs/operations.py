"""Writes that store and cancel jobs. The writes of the engine are in `claims` and `records`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.core.errors import Conflict, NotFound
from app.jobs.endings import EndedJob, end_jobs
from app.jobs.estimates.line import NO_LIMIT
from app.jobs.models import FINAL, OnUnknown, State
from app.ledger.holds import hold_id_of
from app.ledger.queries import HOLDS_THAT_FIT_PART
from app.webhooks.emit import JobWebhook


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be stored. `id` is made beforehand: after a lost answer to the COMMIT, it shows whether the job was stored."""

    id: UUID
    tenant_id: UUID
    key_id: UUID
    surface: str
    model: str
    priority: int
    created_at: datetime
    not_before: datetime | None
    deadline_at: datetime | None
    idempotency_key: str | None
    fingerprint: bytes | None
    body: bytes
    metadata: dict[str, object] | None
    held_micro: int
    price_rule: str
    markup_micro: int
    on_unknown: str = OnUnknown.HOLD
    webhook: JobWebhook | None = None


class Duplicate(NamedTuple):
    """The job that has the id or the idempotency key of the submission `asked_id`."""

    asked_id: UUID
    id: UUID
    fingerprint: bytes | None
    created_at: datetime
    state: str


class _NewJob(NamedTuple):
    """One row of the part `submissions`. webhook_events: a comma list. hold_id: None if the same statement makes no hold."""

    id: UUID
    tenant_id: UUID
    key_id: UUID
    surface: str
    model: str
    priority: int
    created_at: datetime
    not_before: datetime | None
    deadline_at: datetime | None
    idempotency_key: str | None
    fingerprint: bytes | None
    body: bytes
    metadata: dict[str, object] | None
    held_micro: int
    price_rule: str
    markup_micro: int
    on_unknown: str
    webhook_target_id: UUID | None
    webhook_url: str | None
    webhook_events: str | None
    hold_id: UUID | None


@dataclass(frozen=True, slots=True)
class _CanceledJob(EndedJob):
    """from_state: the state before. If it was final, nothing was changed."""

    from_state: str


_SQL = SqlFolder(__file__)
_FIND_TWINS = _SQL.query("find_duplicates", Duplicate)
_SUBMIT_JOBS = _SQL.command("submit_jobs")
_SUBMIT_JOBS_OF_ONE = _SQL.query("submit_jobs_of_one", UUID, parts={"holds_that_fit": HOLDS_THAT_FIT_PART})
_SUBMIT_JOBS_OF_MANY = _SQL.query("submit_jobs_of_many", UUID, parts={"holds_that_fit": HOLDS_THAT_FIT_PART})
_REQUEST_CANCEL = _SQL.query("request_cancel", _CanceledJob)


async def submit_jobs(session: Session, *, submissions: Sequence[Submission]) -> None:
    """Store a group of jobs as queued. If one of them has a duplicate (see `find_duplicates`), none is stored. One statement."""
    await session.run(
        _SUBMIT_JOBS, **columns_of(_NewJob, [_new_job(submission, hold_id=None) for submission in submissions])
    )


def _new_job(one: Submission, *, hold_id: UUID | None) -> _NewJob:
    target_id, url, events = one.webhook.row(one.tenant_id) if one.webhook is not None else (None, None, None)
    return _NewJob(
        one.id, one.tenant_id, one.key_id, one.surface, one.model, one.priority, one.created_at, one.not_before,
        one.deadline_at, one.idempotency_key, one.fingerprint, one.body, one.metadata, one.held_micro, one.price_rule,
        one.markup_micro, one.on_unknown, target_id, url, events, hold_id,
    )  # fmt: skip


async def submit_jobs_that_fit(
    session: Session, *, submissions: Sequence[Submission], lock_seconds: float
) -> set[UUID]:
    """Store the jobs of each tenant that certainly has places and credits for all of them, and make their holds. Returns these
    tenants' ids. One statement.

    With several tenants, one whose queue or balance is locked is skipped. Stores nothing and raises
    asyncpg.UniqueViolationError if a job has a duplicate, and asyncpg.LockNotAvailableError if a lock is not free within
    `lock_seconds`."""
    jobs = columns_of(_NewJob, [_new_job(submission, hold_id=hold_id_of(submission.id)) for submission in submissions])
    alone = len({submission.tenant_id for submission in submissions}) == 1
    query = _SUBMIT_JOBS_OF_ONE if alone else _SUBMIT_JOBS_OF_MANY
    return set(await session.values(query, **jobs, lock_seconds=lock_seconds, no_limit=NO_LIMIT))


async def find_duplicates(session: Session, *, submissions: Sequence[Submission]) -> dict[UUID, Duplicate]:
    """Return, for each submission that has a duplicate, the job with its id or its idempotency key."""
    twins = await session.rows(
        _FIND_TWINS, job_ids=[s.id for s in submissions], tenant_ids=[s.tenant_id for s in submissions],
        idempotency_keys=[s.idempotency_key for s in submissions],
    )  # fmt: skip
    return {twin.asked_id: twin for twin in twins}


class JobNotFound(NotFound):
    """404: no job of this tenant has that id."""

    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("no such job")


class JobFinished(Conflict):
    """409: the job has ended; there is nothing left to cancel."""

    code = "job_finished"


async def request_cancel(session: Session, *, tenant_id: UUID, job_id: UUID) -> State:
    """Cancel a queued job. For a job in flight, record the request to cancel it: the upstream may have started it. Returns the
    job's state. If the job ends, runs `end_jobs`.

    Raises JobNotFound, and JobFinished if the job had already ended (also if it was canceled).
    """
    job = await session.find_row(_REQUEST_CANCEL, tenant_id=tenant_id, job_id=job_id)
    if job is None:
        raise JobNotFound
    if State(job.from_state) in FINAL:
        raise JobFinished(f"the job is already {job.from_state}")
    state = State(job.state)
    if state in FINAL:
        await end_jobs(session, ended=[job])
    return state
