"""Taking running jobs for work, and opening, releasing and renewing what was taken: leased by the database's clock, fence + 1."""

from collections.abc import Sequence
from uuid import UUID

from app.admission.budget import COUNT_GRANTED, Taken, read_pace
from app.admission.pace import Pace, fetch_price, next_read_seconds, read_price, reads_granted
from app.admission.queries import MAY_POLL, MAY_SUBMIT
from app.core.db import Session, asked, columns
from app.jobs.queues import set_patience
from app.jobs.transitions import WAS, Move, holding, transition
from app.webhooks.emit import WANTS_START

LOOKAHEAD_SECONDS = 0.05
"""Jobs due this soon are claimed along: a poll a little early is cheaper than one more statement."""
EVER_SECONDS = 1e9


def holder_beats(job: str, lease_seconds: str) -> str:
    """Whether the process that last claimed `job` lives; then it was not the job that killed it: an answer was lost."""
    return f"""EXISTS (
        SELECT FROM processes AS holder
        WHERE holder.id = {job}.owner AND holder.beat_at > now() - make_interval(secs => 0.6 * {lease_seconds})
    )"""


# Has a suspect of this process its hands free? A suspect, a job whose holder has died again and again, is taken while
# this process holds no other: what kills its holders is found so, and the rest of what they held is not blamed. The third
# time is the sweep's.
HANDS_FREE = """NOT EXISTS (
    SELECT FROM jobs AS held WHERE held.takeovers > 0 AND held.owner = $2 AND held.lease_until > now()
)"""

CLAIMED = """
    SELECT job.id, job.owner, job.lease_until
    FROM queues AS queue CROSS JOIN LATERAL (
        SELECT id, owner, lease_until FROM jobs
        WHERE tenant_id = queue.tenant_id AND ready AND owner IS NOT NULL
        ORDER BY rank_at LIMIT queue.claimed
    ) AS job
    WHERE queue.claimed > 0 AND queue.subject_id = queue.tenant_id
"""
"""A query for the queued jobs that are claimed. They stand near the head of their lines."""

# Who holds suspects, of the running jobs?
_SAFE = f"""(takeovers = 0 OR id = (
    SELECT suspect.id FROM jobs AS suspect
    WHERE suspect.takeovers > 0 AND suspect.state = 'running' AND suspect.due_at <= now()
        AND (suspect.lease_until IS NULL OR suspect.lease_until < now())
        AND (suspect.lease_until IS NULL OR suspect.takeovers < 2 OR {holder_beats("suspect", "$3")})
        AND {HANDS_FREE}
    ORDER BY suspect.due_at LIMIT 1
))"""  # noqa: S608

# What a claim does. Only a holder that has died counts as one the job may have killed.
_TAKE = f"""
    lease_until = now() + make_interval(secs => $3), owner = $2, fence = jobs.fence + 1,
    takeovers = jobs.takeovers + (jobs.lease_until IS NOT NULL AND NOT {holder_beats("jobs", "$3")})::integer
"""
_TAKEN = f"""
        jobs.id, jobs.fence, jobs.attempt, jobs.model, jobs.upstream_id, jobs.upstream_state, jobs.retries,
        jobs.takeovers, jobs.tenant_id, jobs.unreadable, jobs.cost_micro, jobs.held_micro, jobs.price_rule,
        jobs.markup_micro, {WANTS_START} AS wants_start,
        extract(epoch FROM now() - jobs.submitted_at)::double precision AS age_seconds,
        extract(epoch FROM now() - jobs.gone_since)::double precision AS gone_seconds
"""

# ANY (ARRAY(…)) and LATERAL … LIMIT where a join would do: of a LIMIT that is a parameter the planner expects a tenth of
# all rows, and reads the whole table to join them.

# Which running jobs are due to be asked about, at most $1 of them? $6 fetches have gone out since the last claim. What is left
# once they are paid: $7 tokens, $8 of free reads, $9 reads on trial; and what one of these reads takes out of each: $10 to $12.
_CLAIM_RUNNING = f"""
WITH due AS (
    SELECT id FROM jobs AS job
    WHERE state = 'running'
        AND due_at BETWEEN now() - make_interval(secs => $5) AND now() + make_interval(secs => $4)
        AND (lease_until IS NULL OR lease_until < now())
        AND NOT EXISTS (SELECT FROM pauses WHERE tenant_id IS NULL AND model IS NULL AND what = 'all')
        AND {MAY_POLL} AND {_SAFE} AND {{first}}
    ORDER BY {{order}} LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
), {holding(name="claimed", rows="due", sets=_TAKE, returning=_TAKEN)}, reads AS MATERIALIZED (
    SELECT count(*) AS number FROM due
), spent AS (
    UPDATE upstream_state SET
        tokens = $7::double precision - $10::bigint * reads.number,
        read_tokens = $8::double precision - $11::bigint * reads.number,
        trial_reads = $9::bigint - $12::bigint * reads.number,
        refilled_at = greatest(upstream_state.refilled_at, now())
    FROM reads WHERE reads.number + $6::bigint > 0
), tallied AS (
    {COUNT_GRANTED.format(kind="reads", number="SELECT reads.number + $6::bigint FROM reads")}
)
SELECT claimed.*, reads.number FROM reads LEFT JOIN claimed ON true
"""  # noqa: S608

# How many reads are due, up to so many?
_COUNT_DUE = """
SELECT count(*) FROM (
    SELECT FROM jobs
    WHERE state = 'running' AND due_at <= now() AND (lease_until IS NULL OR lease_until < now())
        AND NOT EXISTS (SELECT FROM pauses WHERE what = 'all')
        AND (takeovers = 0 OR $2)
    LIMIT $1
) AS several
"""

_BY_DUE = _CLAIM_RUNNING.format(first="true", order="due_at")
# where not all can be asked about in time: those whose results the upstream forgets next, while it still has them
_BY_EXPIRY = _CLAIM_RUNNING.format(first="submitted_at > now() - make_interval(secs => $13)", order="submitted_at")

# Whose attempt may go on the wire? Only a claim's that still holds; where a pause has come since, the claim is given back.
# Committed before the first byte is sent. A claim opens one attempt at most: where its fence still stands on a job that
# is queued no more, and the attempt is this worker's, an earlier call opened it, and its answer was lost. Another worker's may
# have the same fence: after a crash of Postgres a claim may be forgotten, and its fence given out again. Whose a job is that is
# being sent is said by its own row: that of the attempt cannot be seen where the earlier call ended while this one waited for it.
_SENT = Move(
    rows="may_go",
    state="'sending'",
    reason="'sending'",
    sets="""
        ready = false, attempt = jobs.attempt + 1, sent_at = now(), lease_until = now() + make_interval(secs => $4)
    """,
    returning="jobs.fence, jobs.attempt",
)
_STOPPED = Move(name="stopped", rows="may_not", sets="lease_until = NULL, owner = NULL, takeovers = 0")
_OPEN_ATTEMPTS = f"""
WITH asked AS (
    {asked(id="uuid", fence="bigint")}
), patience AS MATERIALIZED ({set_patience("$5::double precision")}), held AS (
    SELECT job.id, {WAS}, job.fence, job.attempt, {MAY_SUBMIT} AS may_submit
    FROM jobs AS job JOIN asked ON asked.id = job.id AND asked.fence = job.fence
    WHERE (CASE job.state
            WHEN 'queued' THEN job.owner = $3 AND job.lease_until > now()
            WHEN 'sending' THEN job.owner = $3
            WHEN 'unknown' THEN EXISTS (
                SELECT FROM attempts AS opened
                WHERE opened.job_id = job.id AND opened.attempt = job.attempt AND opened.worker = $3
            )
        END) AND (SELECT taken FROM patience)
    ORDER BY job.id
    FOR UPDATE OF job
), may_go AS (
    SELECT * FROM held WHERE was_state = 'queued' AND may_submit
), may_not AS (
    SELECT * FROM held WHERE was_state = 'queued' AND NOT may_submit
), {transition(_SENT, _STOPPED)}, opened AS (
    INSERT INTO attempts (job_id, attempt, worker, sent_at) SELECT id, attempt, $3, now() FROM moved
)
SELECT id, fence, attempt FROM moved
UNION ALL
SELECT id, fence, attempt FROM held WHERE was_state <> 'queued'
"""  # noqa: S608

# These were not sent and no attempt was opened: who else may take them, and when? Another worker's claim may have the same fence,
# as above.
_RELEASED = Move(
    rows="held",
    sets="""
        lease_until = NULL, owner = NULL, due_at = now() + make_interval(secs => before.due_seconds),
        ready = before.due_seconds <= 0, retries = least(jobs.retries + 1, 1000), takeovers = 0
    """,
    returning="jobs.attempt, before.duration_seconds, before.detail",
)
_RELEASE = f"""
WITH asked AS (
    {asked(id="uuid", fence="bigint", due_seconds="double precision", detail="text", duration_seconds="double precision")}
), held AS (
    SELECT asked.*, {WAS}
    FROM jobs AS job JOIN asked ON asked.id = job.id AND asked.fence = job.fence
    WHERE job.state = 'queued' AND job.owner = $6
    ORDER BY job.id
    FOR UPDATE OF job
), {transition(_RELEASED)}
INSERT INTO upstream_exchanges (kind, job_id, attempt, outcome, duration_seconds, detail)
SELECT 'submit', id, attempt, 'not_sent', duration_seconds, detail FROM moved
"""  # noqa: S608

# Whose leases still hold, and go on? A row that is locked is being written by whoever ends its claim: waiting for it
# here, in an order of our own, could deadlock with that.
_RENEW = """
WITH held AS (
    SELECT job.id FROM jobs AS job
    JOIN unnest($1::uuid[], $2::bigint[]) AS asked (id, fence) ON asked.id = job.id AND asked.fence = job.fence
    WHERE job.owner = $3 AND job.finished_at IS NULL AND job.lease_until > now()
    FOR UPDATE OF job SKIP LOCKED
)
UPDATE jobs SET lease_until = now() + make_interval(secs => $4) FROM held WHERE jobs.id = held.id
RETURNING jobs.id, jobs.fence
"""

# What does this process hold? $2: whether its running jobs are asked for, too.
_HAND_BACK = f"""
WITH mine AS (
    SELECT id FROM ({CLAIMED}) AS claimed WHERE owner = $1
    UNION ALL
    SELECT id FROM jobs WHERE state = 'running' AND owner = $1 AND $2
), held AS (
    SELECT job.id, {WAS} FROM jobs AS job
    WHERE job.id = ANY (ARRAY(SELECT id FROM mine)) AND job.owner = $1 AND (job.state = 'queued' OR (job.state = 'running' AND $2))
    ORDER BY job.id
    FOR UPDATE OF job
), {transition(Move(rows="held", sets="lease_until = NULL, owner = NULL"))}
SELECT
"""  # noqa: S608


async def claim_running(
    session: Session,
    *,
    owner: UUID,
    most: int,
    lease_seconds: float,
    overdue_seconds: float = EVER_SECONDS,
    debt: int = 0,
    expires_seconds: float | None = None,
) -> Taken:
    """Up to `most` running jobs that are due, the longest overdue first; none due longer ago. Two
    statements, one more where the budget keeps some back.

    A short `overdue_seconds` is cheap: before what is due lie the index entries of all that was due since the last
    vacuum, and without it every look wades through them. debt: fetches that went out since the last claim.
    expires_seconds: only those that were submitted within it, the oldest first.
    """
    known = await read_pace(session, for_submits=False)
    pace = known.pace
    granted = reads_granted(pace, asked=most)
    sql, given = (_BY_DUE, ()) if expires_seconds is None else (_BY_EXPIRY, (expires_seconds,))
    times = (lease_seconds, LOOKAHEAD_SECONDS, overdue_seconds)
    # before the claim takes those that are due
    due = await count_reads_due(session, most=granted + 1, with_suspects=True) if granted < most else 0
    rows = await session.fetch(sql, granted, owner, *times, debt, *_prices(pace, debt), *given)
    held = rows[0]["number"] == granted < due
    return Taken(
        [row for row in rows if row["id"] is not None],
        known.now,
        next_read_seconds(pace, granted=granted) if held else None,
        known.alarmed,
        pace.on_trial,
    )


def _prices(pace: Pace, debt: int) -> tuple[float, ...]:
    """Of `_CLAIM_RUNNING`, $7 to $12."""
    fetch, read = fetch_price(pace), read_price(pace)
    left = (pace.shared - fetch.shared * debt, pace.free - fetch.free * debt, pace.trial_reads)
    return (*left, read.shared, read.free, read.trial)


async def count_reads_due(session: Session, *, most: int, with_suspects: bool = False) -> int:
    """How many running jobs are due to be asked about, up to so many. One statement; none where `most` is 0."""
    return int(await session.fetchval(_COUNT_DUE, most, with_suspects)) if most else 0


async def open_attempts(
    session: Session,
    *,
    owner: UUID,
    claims: Sequence[tuple[UUID, int]],
    lease_seconds: float,
    lock_seconds: float = 0.0,
) -> dict[tuple[UUID, int], int]:
    """Number the attempts of these claims (id, fence); a claim that is missing from the answer was lost. One statement.

    Asked again after a lost answer, it gives the attempts that were opened then; nothing may have been sent meanwhile.
    Raises asyncpg.LockNotAvailableError where it waits longer than `lock_seconds` for a lock; 0: as long as it takes.
    """
    rows = await session.fetch(_OPEN_ATTEMPTS, *columns(claims, 2), owner, lease_seconds, lock_seconds)
    return {(row["id"], row["fence"]): row["attempt"] for row in rows}


async def release_claims(session: Session, *, owner: UUID, rows: Sequence[tuple[UUID, int, float, str, float]]) -> None:
    """Give back claims whose connection never came about: id, fence, due_seconds, detail, duration. One statement."""
    await session.execute(_RELEASE, *columns(rows, 5), owner)


async def renew_leases(
    session: Session, *, owner: UUID, claims: Sequence[tuple[UUID, int]], lease_seconds: float
) -> set[tuple[UUID, int]]:
    """Lengthen the leases of those claims (id, fence) that still hold; gives which did. One statement."""
    rows = await session.fetch(_RENEW, *columns(claims, 2), owner, lease_seconds)
    return {(row["id"], row["fence"]) for row in rows}


async def hand_back(session: Session, *, owner: UUID, unsent_alone: bool = False) -> None:
    """A process that ends gives back what it holds: jobs that are not sent, and, but for `unsent_alone`, running ones. One
    statement."""
    await session.execute(_HAND_BACK, owner, not unsent_alone)
