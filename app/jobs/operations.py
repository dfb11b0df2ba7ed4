"""Writes that begin and cancel jobs. What the engine writes down on the way is in `claims` and `records`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.admission.queues import counted, places_ctes
from app.core.db import Row, Session, columns
from app.core.errors import Conflict, NotFound
from app.jobs.endings import ENDED, end_jobs
from app.jobs.models import FINAL, State
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


_ASKED = """
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::smallint[], $7::timestamptz[],
        $8::timestamptz[], $9::timestamptz[], $10::text[], $11::bytea[], $12::bytea[], $13::jsonb[], $14::bigint[],
        $15::text[], $16::bigint[], $17::uuid[], $18::text[], $19::text[]
    ) AS t (
        id, tenant_id, key_id, surface, model, priority, created_at, not_before, deadline_at, idempotency_key,
        fingerprint, body, metadata, held_micro, price_rule, markup_micro, webhook_target_id, webhook_url, webhook_events
    )
"""
_RANK = "greatest(not_before, created_at) - priority * interval '1 minute'"
"""A level of priority is worth a minute of waiting: who waits long enough comes before whoever is more urgent.
A `not_before` in the past is no time waited."""
_READY = "(not_before IS NULL OR not_before <= now())"
_STORE_CTES = f"""
stored AS (
    INSERT INTO jobs (
        id, tenant_id, key_id, surface, model, state, priority, created_at, due_at, rank_at, ready, deadline_at,
        idempotency_key, fingerprint, held_micro, price_rule, markup_micro
    )
    SELECT
        id, tenant_id, key_id, surface, model, 'queued', priority, created_at, greatest(not_before, created_at),
        {_RANK}, {_READY}, deadline_at, idempotency_key, fingerprint, held_micro, price_rule, markup_micro
    FROM accepted
), inputs AS (
    INSERT INTO job_inputs (job_id, body, metadata) SELECT id, body, metadata FROM accepted
), events AS (
    INSERT INTO job_events (job_id, seq, to_state, reason) SELECT id, 1, 'queued', 'submitted' FROM accepted
), webhooks AS (
    INSERT INTO job_webhooks (job_id, target_id, url, events)
    SELECT id, webhook_target_id, webhook_url, string_to_array(webhook_events, ',')
    FROM accepted WHERE webhook_url IS NOT NULL
), moves AS (
    SELECT tenant_id, key_id, 1 AS queued, {_READY}::integer AS ready, 0 AS claimed, 0 AS in_flight FROM accepted
), {counted("moves")}
"""  # noqa: S608
_SUBMIT = f"WITH accepted AS ({_ASKED}), {_STORE_CTES} SELECT"


def _submit_if_fits(lock: str) -> str:
    return f"""
WITH asked AS ({_ASKED}),
holds AS (
    SELECT hold.id, asked.tenant_id, asked.id AS job_id, asked.key_id, asked.held_micro AS amount
    FROM asked JOIN unnest($1::uuid[], $20::uuid[]) AS hold (job_id, id) ON hold.job_id = asked.id
),
{places_ctes(lock, lock_seconds="$21::double precision")},
{fits_ctes(lock)},
accepted AS (SELECT asked.* FROM asked WHERE tenant_id IN (SELECT tenant_id FROM fits)),
{_STORE_CTES}
SELECT tenant_id FROM fits
"""  # noqa: S608


# Is there room and enough for all jobs of a tenant? Then they are jobs. One tenant waits a little for whoever holds its queue
# or its balance; of several, none waits for another's.
_SUBMIT_OF_ONE = _submit_if_fits("FOR UPDATE")
_SUBMIT_OF_MANY = _submit_if_fits("FOR UPDATE SKIP LOCKED")

# Who already has the id or the idempotency key of these?
_TWINS = """
SELECT asked.id AS asked_id, job.id, job.fingerprint, job.created_at, job.state
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS asked (id, tenant_id, idempotency_key)
JOIN jobs AS job ON job.id = asked.id
UNION ALL
SELECT asked.id, job.id, job.fingerprint, job.created_at, job.state
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS asked (id, tenant_id, idempotency_key)
JOIN jobs AS job ON job.tenant_id = asked.tenant_id AND job.idempotency_key = asked.idempotency_key
WHERE job.id <> asked.id
"""


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


async def find_twins(session: Session, *, submissions: Sequence[Submission]) -> dict[UUID, Row]:
    """For each submission that has one: the job with its id or its idempotency key."""
    rows = [(s.id, s.tenant_id, s.idempotency_key) for s in submissions]
    return {row["asked_id"]: row for row in await session.fetch(_TWINS, *columns(rows, 3))}


# May this job still be canceled at once?
_CANCEL = f"""
WITH before AS (
    SELECT id, state, revision, ready, owner FROM jobs WHERE id = $1 AND tenant_id = $2 FOR UPDATE
), moved AS (
    UPDATE jobs SET
        cancel_requested_at = coalesce(jobs.cancel_requested_at, now()),
        state = CASE jobs.state WHEN 'queued' THEN 'canceled' ELSE jobs.state END,
        finished_at = CASE jobs.state WHEN 'queued' THEN now() END,
        due_at = CASE jobs.state WHEN 'queued' THEN NULL ELSE jobs.due_at END,
        lease_until = CASE jobs.state WHEN 'queued' THEN NULL ELSE jobs.lease_until END,
        owner = CASE jobs.state WHEN 'queued' THEN NULL ELSE jobs.owner END,
        ready = false,
        revision = jobs.revision + CASE WHEN jobs.cancel_requested_at IS NULL THEN 1 ELSE 0 END
    FROM before
    WHERE jobs.id = before.id AND jobs.finished_at IS NULL
    RETURNING {ENDED}, before.revision AS revision_before
), events AS (
    INSERT INTO job_events (job_id, seq, from_state, to_state, reason)
    SELECT moved.id, moved.revision, before.state, moved.state, 'cancel_requested'
    FROM moved JOIN before USING (id)
    WHERE moved.revision > moved.revision_before
), moves AS (
    SELECT
        moved.tenant_id, moved.key_id, -1 AS queued, -before.ready::integer AS ready,
        -(before.owner IS NOT NULL)::integer AS claimed, 0 AS in_flight
    FROM moved JOIN before USING (id)
    WHERE before.state = 'queued'
), {counted("moves")}
SELECT
    before.state AS from_state, coalesce(moved.state, before.state) AS now_state, 'cancel_requested' AS reason, moved.*
FROM before LEFT JOIN moved USING (id)
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
