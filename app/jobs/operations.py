"""Writes that begin and cancel jobs. What the engine writes down on the way is in `claims` and `records`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.db import Session, asked, columns
from app.core.errors import Conflict, NotFound
from app.core.sql import SqlFolder
from app.jobs.endings import ENDED, end_jobs
from app.jobs.models import FINAL, State
from app.jobs.queues import places_ctes
from app.jobs.transitions import WAS, Entry, Move, transition
from app.ledger.holds import fits_ctes, hold_id_of
from app.webhooks.emit import JobWebhook


@dataclass(frozen=True, slots=True)
class Submission:
    """A job about to be stored. `id` is made beforehand, so that a lost answer to the COMMIT can be settled by it."""

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
    webhook: JobWebhook | None = None


class Twin(NamedTuple):
    """The job that has the id or the idempotency key of the submission `asked_id`."""

    asked_id: UUID
    id: UUID
    fingerprint: bytes | None
    created_at: datetime
    state: str


_SQL = SqlFolder(__file__)
_FIND_TWINS = _SQL.query("find_twins", Twin)

_COLUMNS = {
    "id": "uuid", "tenant_id": "uuid", "key_id": "uuid", "surface": "text", "model": "text", "priority": "smallint",
    "created_at": "timestamptz", "not_before": "timestamptz", "deadline_at": "timestamptz", "idempotency_key": "text",
    "fingerprint": "bytea", "body": "bytea", "metadata": "jsonb", "held_micro": "bigint", "price_rule": "text",
    "markup_micro": "bigint", "webhook_target_id": "uuid", "webhook_url": "text", "webhook_events": "text",
}  # fmt: skip
_RANK = "greatest(not_before, created_at) - priority * interval '1 minute'"
"""A level of priority is worth a minute of waiting: who waits long enough comes before whoever is more urgent.
A `not_before` in the past is no time waited."""
_AS_ASKED = """id, tenant_id, key_id, surface, model, priority, created_at, deadline_at, idempotency_key,
    fingerprint, held_micro, price_rule, markup_micro"""
_ACCEPTED = Entry(
    rows="accepted",
    columns=f"due_at, rank_at, {_AS_ASKED}",
    values=f"greatest(not_before, created_at), {_RANK}, {_AS_ASKED}",
    ready="not_before IS NULL OR not_before <= now()",
    reason="'submitted'",
)


def _store_ctes(*, locked: str | None = None) -> str:
    return f"""{transition(_ACCEPTED, locked=locked)}, inputs AS (
    INSERT INTO job_inputs (job_id, body, metadata) SELECT id, body, metadata FROM accepted
), webhooks AS (
    INSERT INTO job_webhooks (job_id, target_id, url, events)
    SELECT id, webhook_target_id, webhook_url, string_to_array(webhook_events, ',') FROM accepted WHERE webhook_url IS NOT NULL
)"""  # noqa: S608


_SUBMIT = f"WITH accepted AS ({asked(**_COLUMNS)}), {_store_ctes()} SELECT"


def _submit_if_fits(lock: str) -> str:
    return f"""
WITH asked AS (
    {asked(**_COLUMNS, hold_id="uuid")}
), holds AS (
    SELECT hold_id AS id, tenant_id, id AS job_id, key_id, held_micro AS amount FROM asked
), {places_ctes(lock, lock_seconds="$21::double precision")}, {fits_ctes(lock)}, accepted AS (
    SELECT * FROM asked WHERE tenant_id IN (SELECT tenant_id FROM fits)
), {_store_ctes(locked="places")}
SELECT tenant_id FROM fits
"""  # noqa: S608


# Is there room and enough for all jobs of a tenant? Then they are jobs. One tenant waits a little for whoever holds its queue
# or its balance; of several, none waits for another's.
_SUBMIT_OF_ONE = _submit_if_fits("FOR UPDATE")
_SUBMIT_OF_MANY = _submit_if_fits("FOR UPDATE SKIP LOCKED")


async def submit_jobs(session: Session, *, submissions: Sequence[Submission]) -> None:
    """Store a group of jobs as queued. None may have a twin (see `find_twins`), or none is stored. One statement."""
    rows = [_row(s) for s in submissions]
    await session.execute(_SUBMIT, *columns(rows, 19))


def _row(s: Submission) -> tuple[object, ...]:
    return (
        s.id, s.tenant_id, s.key_id, s.surface, s.model, s.priority, s.created_at, s.not_before, s.deadline_at,
        s.idempotency_key, s.fingerprint, s.body, s.metadata, s.held_micro, s.price_rule, s.markup_micro,
        *(s.webhook.row(s.tenant_id) if s.webhook is not None else (None, None, None)),
    )  # fmt: skip


async def submit_jobs_that_fit(
    session: Session, *, submissions: Sequence[Submission], lock_seconds: float
) -> set[UUID]:
    """Store the jobs of those tenants for all of whose jobs there is plainly room and credit, and hold what they may cost;
    gives these tenants. Where several ask, those are left out whose queue or balance somebody holds just now. One
    statement. Stores nothing and raises asyncpg.UniqueViolationError where one has a twin, and asyncpg.LockNotAvailableError
    where a lock is not free within `lock_seconds`."""
    rows = [(*_row(s), hold_id_of(s.id)) for s in submissions]
    sql = _SUBMIT_OF_ONE if len({s.tenant_id for s in submissions}) == 1 else _SUBMIT_OF_MANY
    return {row["tenant_id"] for row in await session.fetch(sql, *columns(rows, 20), lock_seconds)}


async def find_twins(session: Session, *, submissions: Sequence[Submission]) -> dict[UUID, Twin]:
    """For each submission that has one: the job with its id or its idempotency key."""
    twins = await session.rows(
        _FIND_TWINS, job_ids=[s.id for s in submissions], tenant_ids=[s.tenant_id for s in submissions],
        idempotency_keys=[s.idempotency_key for s in submissions],
    )  # fmt: skip
    return {twin.asked_id: twin for twin in twins}


# May this job still be canceled at once?
_CANCELED = Move(
    rows="unfinished",
    state="CASE jobs.state WHEN 'queued' THEN 'canceled' ELSE jobs.state END",
    also_told="before.cancel_requested_at IS NULL",
    reason="'cancel_requested'",
    sets="""
        cancel_requested_at = coalesce(jobs.cancel_requested_at, now()),
        finished_at = CASE jobs.state WHEN 'queued' THEN now() END,
        due_at = CASE jobs.state WHEN 'queued' THEN NULL ELSE jobs.due_at END,
        lease_until = CASE jobs.state WHEN 'queued' THEN NULL ELSE jobs.lease_until END,
        owner = CASE jobs.state WHEN 'queued' THEN NULL ELSE jobs.owner END,
        ready = false
    """,
    returning=f"{ENDED}, 'cancel_requested' AS reason",
)
_CANCEL = f"""
WITH held AS (
    SELECT job.id, {WAS}, job.cancel_requested_at FROM jobs AS job WHERE job.id = $1 AND job.tenant_id = $2
    FOR UPDATE OF job
), unfinished AS (
    SELECT * FROM held WHERE was_state NOT IN ('completed', 'failed', 'canceled')
), {transition(_CANCELED)}
SELECT held.was_state AS from_state, coalesce(moved.state, held.was_state) AS now_state, moved.*
FROM held LEFT JOIN moved USING (id)
"""  # noqa: S608


class JobNotFound(NotFound):
    """404: no job of this tenant has that id."""

    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such job")


class JobFinished(Conflict):
    """409: the job has ended; there is nothing left to cancel."""

    code = "job_finished"


async def request_cancel(session: Session, *, tenant_id: UUID, job_id: UUID) -> State:
    """Cancel a queued job, or ask for it where the upstream may be at work; gives its state, and whatever hangs on its end is done.

    Raises JobNotFound, and JobFinished where it had ended before (a second cancel of a canceled one as well).
    """
    row = await session.fetchrow(_CANCEL, job_id, tenant_id)
    if row is None:
        raise JobNotFound
    if State(row["from_state"]) in FINAL:
        raise JobFinished(f"the job is {row['from_state']} already")
    state = State(row["now_state"])
    if state in FINAL:
        await end_jobs(session, ended=[row])
    return state
