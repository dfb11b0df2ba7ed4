"""What a lost ring, a dead worker or the passing of time leaves behind, found and put right."""

from dataclasses import dataclass

from app.core.db import Row, Session
from app.jobs.claims import CLAIMED, holder_beats
from app.jobs.endings import ENDED, end_jobs
from app.jobs.queues import KEY_HAS_ROOM
from app.jobs.transitions import WAS, Move, transition
from app.ledger.queries import LOTS_DUE

BATCH_MAX = 500
PROMOTED_MAX = 5_000

# Whose sender has died in mid-submit? It may have arrived: unknown, from now on.
_SENDING_EXPIRED = Move(
    rows="due",
    state="'unknown'",
    reason="'lease_expired'",
    sets="lease_until = NULL, owner = NULL, due_at = now() + make_interval(secs => $2)",
    returning="jobs.attempt, jobs.model",
)
_EXPIRE_SENDING = f"""
WITH due AS (
    SELECT job.id, {WAS} FROM jobs AS job WHERE job.state = 'sending' AND job.lease_until < now()
    ORDER BY job.sent_at LIMIT $1 FOR UPDATE OF job SKIP LOCKED
), {transition(_SENDING_EXPIRED)}, settled AS (
    UPDATE attempts SET outcome = 'unknown', settled_at = now()
    FROM moved WHERE attempts.job_id = moved.id AND attempts.attempt = moved.attempt AND attempts.outcome IS NULL
)
SELECT id, model FROM moved
"""  # noqa: S608

# Which jobs have waited too long: to be known again, or, with a deadline, to be sent? And whose third holder in a row
# died with it?
_WAITING_EXPIRED = Move(
    rows="due",
    state="CASE WHEN jobs.cancel_requested_at IS NULL THEN 'failed' ELSE 'canceled' END",
    reason="coalesce(jobs.error_code, 'canceled')",
    sets="""
        error_code = CASE WHEN jobs.cancel_requested_at IS NULL THEN before.code END, lease_until = NULL, owner = NULL,
        ready = false, due_at = NULL, finished_at = now()
    """,
    returning=f"{ENDED}, before.code AS reason",
)
_EXPIRE_WAITING = f"""
WITH overdue AS (
    SELECT job.id, {WAS}, 'submission_unknown' AS code FROM jobs AS job WHERE job.state = 'unknown' AND job.due_at <= now()
    ORDER BY job.due_at LIMIT $1 FOR UPDATE OF job SKIP LOCKED
), late AS (
    SELECT job.id, {WAS}, 'deadline_exceeded' AS code FROM jobs AS job WHERE job.state = 'queued' AND job.deadline_at <= now()
    ORDER BY job.deadline_at LIMIT $1 FOR UPDATE OF job SKIP LOCKED
), poisonous AS (
    SELECT job.id, {WAS}, 'poison' AS code FROM jobs AS job
    WHERE job.takeovers >= 2 AND job.lease_until < now() AND NOT {holder_beats("job", "$2")}
        AND (job.state = 'running' OR (job.state = 'queued' AND (job.deadline_at IS NULL OR job.deadline_at > now())))
    LIMIT $1 FOR UPDATE OF job SKIP LOCKED
), due AS (
    SELECT * FROM overdue UNION ALL SELECT * FROM late UNION ALL SELECT * FROM poisonous
), {transition(_WAITING_EXPIRED)}, results AS (
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

# Which claims of queued jobs have run out? Their jobs may be taken again, but for poisonous ones; a holder that still lives has
# only lost an answer.
_TAKEN_BACK = Move(
    rows="freed", sets="lease_until = NULL, owner = NULL, takeovers = before.takeovers + (NOT before.beats)::integer"
)
_TAKE_BACK = f"""
WITH stale AS (
    SELECT id FROM ({CLAIMED}) AS claimed WHERE lease_until < now()
), locked AS (
    SELECT job.id, {WAS}, job.takeovers, {holder_beats("job", "$1")} AS beats FROM jobs AS job
    WHERE job.id = ANY (ARRAY(SELECT id FROM stale)) AND job.ready AND job.owner IS NOT NULL AND job.lease_until < now()
    FOR UPDATE OF job SKIP LOCKED
), freed AS (
    SELECT * FROM locked WHERE beats OR takeovers < 2
), {transition(_TAKEN_BACK)}
SELECT count(*) FROM moved
"""  # noqa: S608

# Whose time has come to stand in line?
_PROMOTE = f"""
WITH due AS (
    SELECT job.id, {WAS} FROM jobs AS job WHERE job.state = 'queued' AND NOT job.ready AND job.due_at <= now()
    ORDER BY job.due_at LIMIT $1 FOR UPDATE OF job SKIP LOCKED
), {transition(Move(rows="due", sets="ready = true"))}
SELECT count(*) FROM moved
"""  # noqa: S608


def _any_job(where: str, *, order: str) -> str:
    """Whether there is such a job. `order`: that of the partial index of those; without it the planner bets on finding one soon
    among all jobs, and those that are not finished come last there."""
    return f"(SELECT true FROM jobs WHERE {where} ORDER BY {order} LIMIT 1) IS NOT NULL"  # noqa: S608


# What is there to do, and is anything unfinished at all?
_LOOK = f"""
SELECT
    EXISTS (SELECT FROM queues WHERE runnable)
        OR EXISTS (SELECT FROM queues WHERE {KEY_HAS_ROOM}) AS queued_due,
    {_any_job("state = 'queued' AND NOT ready AND due_at <= now()", order="due_at")} AS waiting_due,
    EXISTS (SELECT FROM queues WHERE claimed > 0) AS claimed,
    {_any_job("state = 'running' AND due_at <= now() AND (lease_until IS NULL OR lease_until < now())", order="due_at")}
        AS running_due,
    EXISTS (SELECT FROM pauses WHERE tenant_id IS NOT NULL OR model IS NOT NULL) AS paused,
    EXISTS (SELECT FROM pauses WHERE probe_at <= now() OR probe_job_id IS NOT NULL) AS probing,
    {_any_job("ready", order="tenant_id, rank_at")}
        OR {_any_job("state = 'queued' AND NOT ready", order="due_at")}
        OR {_any_job("state = 'running'", order="due_at")}
        OR {_any_job("state = 'sending'", order="sent_at")}
        OR {_any_job("state = 'unknown'", order="due_at")} AS unfinished,
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
