"""What a lost ring, a dead worker or the passing of time leaves behind, found and put right."""

from dataclasses import dataclass
from uuid import UUID

from app.core.db import Session
from app.jobs.claims import holder_beats
from app.jobs.endings import ENDED, end_jobs
from app.ledger.queries import LOTS_DUE

BATCH_MAX = 500

# Whose sender has died in mid-submit? It may have arrived: unknown, from now on.
_EXPIRE_SENDING = """
WITH due AS (
    SELECT id FROM jobs WHERE state = 'sending' AND lease_until < now()
    ORDER BY sent_at LIMIT $1 FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs SET
        state = 'unknown', revision = jobs.revision + 1, lease_until = NULL, owner = NULL,
        due_at = now() + make_interval(secs => $2)
    FROM due WHERE jobs.id = due.id
    RETURNING jobs.id, jobs.attempt, jobs.revision
), settled AS (
    UPDATE attempts SET outcome = 'unknown', settled_at = now()
    FROM moved WHERE attempts.job_id = moved.id AND attempts.attempt = moved.attempt AND attempts.outcome IS NULL
), events AS (
    INSERT INTO job_events (job_id, seq, from_state, to_state, reason)
    SELECT id, revision, 'sending', 'unknown', 'lease_expired' FROM moved
)
SELECT id FROM moved
"""

# Which jobs have waited too long: to be known again, or, with a deadline, to be sent? And whose third holder in a row
# died with it?
_EXPIRE_WAITING = f"""
WITH overdue AS (
    SELECT id, state, 'submission_unknown' AS code FROM jobs WHERE state = 'unknown' AND due_at <= now()
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
), late AS (
    SELECT id, state, 'deadline_exceeded' AS code FROM jobs WHERE state = 'queued' AND deadline_at <= now()
    ORDER BY deadline_at LIMIT $1 FOR UPDATE SKIP LOCKED
), poisonous AS (
    SELECT id, state, 'poison' AS code FROM jobs
    WHERE takeovers >= 2 AND lease_until < now() AND NOT {holder_beats("jobs", "$2")}
        AND (state = 'running' OR (state = 'queued' AND (deadline_at IS NULL OR deadline_at > now())))
    LIMIT $1 FOR UPDATE SKIP LOCKED
), due AS (
    SELECT * FROM overdue UNION ALL SELECT * FROM late UNION ALL SELECT * FROM poisonous
), moved AS (
    UPDATE jobs SET
        state = CASE WHEN jobs.cancel_requested_at IS NULL THEN 'failed' ELSE 'canceled' END,
        error_code = CASE WHEN jobs.cancel_requested_at IS NULL THEN due.code END,
        revision = jobs.revision + 1, lease_until = NULL, owner = NULL, due_at = NULL, finished_at = now()
    FROM due WHERE jobs.id = due.id
    RETURNING {ENDED}, due.code AS reason, due.state AS from_state
), events AS (
    INSERT INTO job_events (job_id, seq, from_state, to_state, reason)
    SELECT id, revision, from_state, state, coalesce(error_code, 'canceled') FROM moved
), results AS (
    INSERT INTO job_results (job_id, message)
    SELECT id, CASE error_code
        WHEN 'submission_unknown' THEN
            'the answer to the submission was lost and nobody can say whether it arrived; it was not sent again'
        WHEN 'poison' THEN 'three workers in a row died or hung while they had it; it is not tried again'
        ELSE 'its deadline passed before it could be sent'
    END
    FROM moved WHERE state = 'failed'
)
SELECT * FROM moved
"""  # noqa: S608

# What is there to do, and is anything unfinished at all?
_LOOK = f"""
SELECT
    EXISTS (SELECT FROM jobs WHERE state = 'queued' AND due_at <= now()
        AND (lease_until IS NULL OR lease_until < now())) AS queued_due,
    EXISTS (SELECT FROM jobs WHERE state = 'running' AND due_at <= now()
        AND (lease_until IS NULL OR lease_until < now())) AS running_due,
    EXISTS (SELECT FROM pauses WHERE tenant_id IS NOT NULL OR model IS NOT NULL) AS paused,
    EXISTS (SELECT FROM jobs WHERE state = 'queued')
        OR EXISTS (SELECT FROM jobs WHERE state = 'running')
        OR EXISTS (SELECT FROM jobs WHERE state = 'sending')
        OR EXISTS (SELECT FROM jobs WHERE state = 'unknown') AS unfinished,
    {LOTS_DUE} AS lots_due
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Look:
    """What a sweep saw."""

    queued_due: bool
    running_due: bool
    paused: bool
    unfinished: bool
    lots_due: bool


async def look(session: Session) -> Look:
    """Is there work that nobody holds? One statement."""
    row = await session.fetchrow(_LOOK)
    assert row is not None
    return Look(row["queued_due"], row["running_due"], row["paused"], row["unfinished"], row["lots_due"])


async def expire_sending(session: Session, *, unknown_max_seconds: float) -> list[UUID]:
    """Sending jobs whose lease has run out become unknown. One statement."""
    return [row["id"] for row in await session.fetch(_EXPIRE_SENDING, BATCH_MAX, unknown_max_seconds)]


async def expire_waiting(session: Session, *, lease_seconds: float) -> list[UUID]:
    """Unknown jobs past their limit, queued ones past their deadline and poisonous ones end; gives their ids. One
    statement where there are none."""
    ended = await session.fetch(_EXPIRE_WAITING, BATCH_MAX, lease_seconds)
    await end_jobs(session, ended=ended)
    return [row["id"] for row in ended]
