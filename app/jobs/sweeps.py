"""What a lost ring, a dead worker or the passing of time leaves behind, found and put right."""

from dataclasses import dataclass

from app.admission.queues import KEY_HAS_ROOM, counted
from app.core.db import Row, Session
from app.jobs.claims import holder_beats
from app.jobs.endings import ENDED, end_jobs
from app.ledger.queries import LOTS_DUE

BATCH_MAX = 500
PROMOTED_MAX = 5_000

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
    RETURNING jobs.id, jobs.attempt, jobs.revision, jobs.model
), settled AS (
    UPDATE attempts SET outcome = 'unknown', settled_at = now()
    FROM moved WHERE attempts.job_id = moved.id AND attempts.attempt = moved.attempt AND attempts.outcome IS NULL
), events AS (
    INSERT INTO job_events (job_id, seq, from_state, to_state, reason)
    SELECT id, revision, 'sending', 'unknown', 'lease_expired' FROM moved
)
SELECT id, model FROM moved
"""

# Which jobs have waited too long: to be known again, or, with a deadline, to be sent? And whose third holder in a row
# died with it?
_EXPIRE_WAITING = f"""
WITH overdue AS (
    SELECT id, state, ready, owner, 'submission_unknown' AS code FROM jobs WHERE state = 'unknown' AND due_at <= now()
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
), late AS (
    SELECT id, state, ready, owner, 'deadline_exceeded' AS code FROM jobs WHERE state = 'queued' AND deadline_at <= now()
    ORDER BY deadline_at LIMIT $1 FOR UPDATE SKIP LOCKED
), poisonous AS (
    SELECT id, state, ready, owner, 'poison' AS code FROM jobs
    WHERE takeovers >= 2 AND lease_until < now() AND NOT {holder_beats("jobs", "$2")}
        AND (state = 'running' OR (state = 'queued' AND (deadline_at IS NULL OR deadline_at > now())))
    LIMIT $1 FOR UPDATE SKIP LOCKED
), due AS (
    SELECT * FROM overdue UNION ALL SELECT * FROM late UNION ALL SELECT * FROM poisonous
), moved AS (
    UPDATE jobs SET
        state = CASE WHEN jobs.cancel_requested_at IS NULL THEN 'failed' ELSE 'canceled' END,
        error_code = CASE WHEN jobs.cancel_requested_at IS NULL THEN due.code END,
        revision = jobs.revision + 1, lease_until = NULL, owner = NULL, ready = false, due_at = NULL, finished_at = now()
    FROM due WHERE jobs.id = due.id
    RETURNING {ENDED}, due.code AS reason, due.state AS from_state, due.ready AS was_ready, due.owner AS was_owner
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
), moves AS (
    SELECT
        tenant_id, key_id, -(from_state = 'queued')::integer AS queued, -was_ready::integer AS ready,
        -(from_state = 'queued' AND was_owner IS NOT NULL)::integer AS claimed,
        -(from_state <> 'queued')::integer AS in_flight
    FROM moved
), {counted("moves")}
SELECT * FROM moved
"""  # noqa: S608

# Which claims of queued jobs have run out? They stand near the head of their lines. Their jobs may be taken again, but for
# poisonous ones; a holder that still lives has only lost an answer.
_TAKE_BACK = f"""
WITH stale AS (
    SELECT job.id
    FROM queues AS queue CROSS JOIN LATERAL (
        SELECT id, lease_until FROM jobs
        WHERE tenant_id = queue.tenant_id AND ready AND owner IS NOT NULL
        ORDER BY rank_at LIMIT queue.claimed
    ) AS job
    WHERE queue.claimed > 0 AND queue.subject_id = queue.tenant_id AND job.lease_until < now()
), locked AS (
    SELECT id, {holder_beats("jobs", "$1")} AS beats FROM jobs
    WHERE id = ANY (ARRAY(SELECT id FROM stale)) AND ready AND owner IS NOT NULL AND lease_until < now()
    FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs SET lease_until = NULL, owner = NULL, takeovers = jobs.takeovers + (NOT locked.beats)::integer
    FROM locked WHERE jobs.id = locked.id AND (locked.beats OR jobs.takeovers < 2)
    RETURNING jobs.tenant_id, jobs.key_id
), moves AS (
    SELECT tenant_id, key_id, 0 AS queued, 0 AS ready, -1 AS claimed, 0 AS in_flight FROM moved
), {counted("moves")}
SELECT count(*) FROM moved
"""  # noqa: S608

# Whose time has come to stand in line?
_PROMOTE = f"""
WITH due AS (
    SELECT id FROM jobs WHERE state = 'queued' AND NOT ready AND due_at <= now()
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs SET ready = true FROM due WHERE jobs.id = due.id
    RETURNING jobs.tenant_id, jobs.key_id
), moves AS (
    SELECT tenant_id, key_id, 0 AS queued, 1 AS ready, 0 AS claimed, 0 AS in_flight FROM moved
), {counted("moves")}
SELECT count(*) FROM moved
"""  # noqa: S608

# What is there to do, and is anything unfinished at all?
_LOOK = f"""
SELECT
    EXISTS (SELECT FROM queues WHERE runnable)
        OR EXISTS (SELECT FROM queues WHERE {KEY_HAS_ROOM}) AS queued_due,
    EXISTS (SELECT FROM jobs WHERE state = 'queued' AND NOT ready AND due_at <= now()) AS waiting_due,
    EXISTS (SELECT FROM queues WHERE claimed > 0) AS claimed,
    EXISTS (SELECT FROM jobs WHERE state = 'running' AND due_at <= now()
        AND (lease_until IS NULL OR lease_until < now())) AS running_due,
    EXISTS (SELECT FROM pauses WHERE tenant_id IS NOT NULL OR model IS NOT NULL) AS paused,
    EXISTS (SELECT FROM pauses WHERE probe_at <= now() OR probe_job_id IS NOT NULL) AS probing,
    EXISTS (SELECT FROM jobs WHERE ready)
        OR EXISTS (SELECT FROM jobs WHERE state = 'queued' AND NOT ready)
        OR EXISTS (SELECT FROM jobs WHERE state = 'running')
        OR EXISTS (SELECT FROM jobs WHERE state = 'sending')
        OR EXISTS (SELECT FROM jobs WHERE state = 'unknown') AS unfinished,
    {LOTS_DUE} AS lots_due
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Look:
    """What a sweep saw."""

    queued_due: bool
    waiting_due: bool
    claimed: bool
    running_due: bool
    paused: bool
    probing: bool
    unfinished: bool
    lots_due: bool


async def look(session: Session) -> Look:
    """Is there work that nobody holds? One statement."""
    row = await session.fetchrow(_LOOK)
    assert row is not None
    return Look(**row)


async def promote(session: Session) -> int:
    """Queued jobs whose time has come stand in line; gives how many, up to PROMOTED_MAX. One statement."""
    promoted: int = await session.fetchval(_PROMOTE, PROMOTED_MAX)
    return promoted


async def take_back(session: Session, *, lease_seconds: float) -> int:
    """Free queued jobs from claims that have run out; gives how many. One statement."""
    freed: int = await session.fetchval(_TAKE_BACK, lease_seconds)
    return freed


async def expire_sending(session: Session, *, unknown_max_seconds: float) -> list[Row]:
    """Sending jobs whose lease has run out become unknown; gives id and model of each. One statement."""
    return await session.fetch(_EXPIRE_SENDING, BATCH_MAX, unknown_max_seconds)


async def expire_waiting(session: Session, *, lease_seconds: float) -> list[Row]:
    """Unknown jobs past their limit, queued ones past their deadline and poisonous ones end; gives their ENDED columns. One
    statement where there are none."""
    ended = await session.fetch(_EXPIRE_WAITING, BATCH_MAX, lease_seconds)
    await end_jobs(session, ended=ended)
    return ended
