"""Taking jobs for work: each claim is one guarded statement, leased by the database's clock, fence + 1."""

from collections.abc import Sequence
from uuid import UUID

from app.admission.budget import PACE_CTES, READS_GRANTED, Taken, count_granted, next_token_seconds
from app.admission.queries import MAY_POLL, MAY_SUBMIT
from app.admission.queues import counted
from app.core.db import Session, columns
from app.jobs.models import State
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

# ANY (ARRAY(…)) and LATERAL … LIMIT where a join would do: of a LIMIT that is a parameter the planner expects a tenth of
# all rows, and reads the whole table to join them.

# Which running jobs are due to be asked about? As many as the budget has room for, less what it is owed for fetches.
_CLAIM_RUNNING = f"""
WITH {PACE_CTES}, gate AS MATERIALIZED (
    SELECT
        pace.*, granted.granted, least($1::bigint, granted.granted) AS most,
        NOT pace.reads_free AND pace.resume_seconds > 0 AS trial
    FROM pace CROSS JOIN LATERAL ({READS_GRANTED}) AS granted
), due AS (
    SELECT id FROM jobs AS job
    WHERE state = 'running'
        AND due_at BETWEEN now() - make_interval(secs => $5) AND now() + make_interval(secs => $4)
        AND (lease_until IS NULL OR lease_until < now())
        AND NOT EXISTS (SELECT FROM pauses WHERE tenant_id IS NULL AND model IS NULL AND what = 'all')
        AND {MAY_POLL}
        AND {_SAFE}
        AND {{first}}
    ORDER BY {{order}}
    LIMIT (SELECT most FROM gate)
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE jobs SET {_TAKE}
    WHERE id = ANY (ARRAY(SELECT id FROM due))
    RETURNING
        jobs.id, jobs.fence, jobs.attempt, jobs.model, jobs.upstream_id, jobs.upstream_state, jobs.retries,
        jobs.takeovers, jobs.tenant_id, jobs.unreadable, jobs.cost_micro, jobs.held_micro, jobs.price_rule,
        jobs.markup_micro, {WANTS_START} AS wants_start,
        extract(epoch FROM now() - jobs.submitted_at)::double precision AS age_seconds,
        extract(epoch FROM now() - jobs.gone_since)::double precision AS gone_seconds
), spent AS MATERIALIZED (
    SELECT count(*) AS reads FROM due
), charged AS (
    UPDATE upstream_state SET
        tokens = gate.shared
            - CASE WHEN gate.reads_free THEN 0 WHEN gate.trial THEN $6::bigint ELSE spent.reads + $6::bigint END,
        read_tokens = gate.free - CASE WHEN gate.reads_free THEN spent.reads + $6::bigint ELSE 0 END,
        trial_reads = gate.trial_reads - CASE WHEN gate.trial THEN spent.reads ELSE 0 END,
        refilled_at = greatest(upstream_state.refilled_at, now())
    FROM gate CROSS JOIN spent WHERE spent.reads + $6::bigint > 0
), tallied AS (
    {count_granted("reads", "SELECT spent.reads + $6::bigint FROM spent")}
), held AS MATERIALIZED (
    SELECT gate.trial, gate.alarmed, CASE WHEN gate.granted < $1 AND spent.reads = gate.most AND gate.most < (
        SELECT count(*) FROM (
            SELECT FROM jobs
            WHERE state = 'running' AND due_at <= now() AND (lease_until IS NULL OR lease_until < now())
                AND NOT EXISTS (SELECT FROM pauses WHERE what = 'all')
            LIMIT gate.most + 1
        ) AS several
    ) THEN CASE
        WHEN gate.reads_free THEN {next_token_seconds("1 + gate.most - gate.free", "gate.free_rate", "gate.room_of_all - gate.most", "0")}
        ELSE {next_token_seconds("1 + gate.most - gate.shared", "gate.shared_rate", "gate.room - gate.most", "gate.resume_seconds")}
    END END AS wait_seconds
    FROM gate CROSS JOIN spent
)
SELECT claimed.*, held.*, extract(epoch FROM now())::double precision AS claim_at
FROM held LEFT JOIN claimed ON true
"""  # noqa: S608

_BY_DUE = _CLAIM_RUNNING.format(first="true", order="due_at")
# where not all can be asked about in time: those whose results the upstream forgets next, while it still has them
_BY_EXPIRY = _CLAIM_RUNNING.format(first="submitted_at > now() - make_interval(secs => $7)", order="submitted_at")

# Whose attempt may go on the wire? Only a claim's that still holds; where a pause has come since, the claim is given back.
# Committed before the first byte is sent. A claim opens one attempt at most: where its fence still stands on a job that
# is queued no more, an earlier call opened it, and its answer was lost.
_OPEN_ATTEMPTS = f"""
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS t (id, fence)
), ready AS (
    SELECT job.id, job.fence, job.state, job.attempt, {MAY_SUBMIT} AS may_submit
    FROM jobs AS job JOIN asked ON asked.id = job.id AND asked.fence = job.fence
    WHERE (job.state = 'queued' AND job.owner = $3 AND job.lease_until > now()) OR job.state IN ('sending', 'unknown')
    ORDER BY job.id
    FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET
        state = 'sending', ready = false, attempt = jobs.attempt + 1, sent_at = now(), revision = jobs.revision + 1,
        lease_until = now() + make_interval(secs => $4)
    FROM ready WHERE jobs.id = ready.id AND ready.state = 'queued' AND ready.may_submit
    RETURNING jobs.id, jobs.fence, jobs.attempt, jobs.revision, jobs.tenant_id, jobs.key_id
), stopped AS (
    UPDATE jobs SET lease_until = NULL, owner = NULL, takeovers = 0
    FROM ready WHERE jobs.id = ready.id AND ready.state = 'queued' AND NOT ready.may_submit
    RETURNING jobs.tenant_id, jobs.key_id
), opened AS (
    INSERT INTO attempts (job_id, attempt, worker, sent_at) SELECT id, attempt, $3, now() FROM moved
), events AS (
    INSERT INTO job_events (job_id, seq, from_state, to_state, reason)
    SELECT id, revision, 'queued', 'sending', 'sending' FROM moved
), moves AS (
    SELECT tenant_id, key_id, -1 AS queued, -1 AS ready, -1 AS claimed, 1 AS in_flight FROM moved
    UNION ALL
    SELECT tenant_id, key_id, 0, 0, -1, 0 FROM stopped
), {counted("moves")}
SELECT id, fence, attempt FROM moved
UNION ALL
SELECT id, fence, attempt FROM ready WHERE state <> 'queued'
"""  # noqa: S608

# These were not sent and no attempt was opened: who else may take them, and when?
_RELEASE = f"""
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::double precision[], $4::text[], $5::double precision[])
        AS t (id, fence, due_seconds, detail, duration_seconds)
), released AS (
    UPDATE jobs SET
        lease_until = NULL, owner = NULL, due_at = now() + make_interval(secs => asked.due_seconds),
        ready = asked.due_seconds <= 0, retries = least(jobs.retries + 1, 1000), takeovers = 0
    FROM asked
    WHERE jobs.id = asked.id AND jobs.fence = asked.fence AND jobs.state = 'queued' AND jobs.owner IS NOT NULL
    RETURNING jobs.id, jobs.attempt, jobs.tenant_id, jobs.key_id, jobs.ready
), moves AS (
    SELECT tenant_id, key_id, 0 AS queued, ready::integer - 1 AS ready, -1 AS claimed, 0 AS in_flight FROM released
), {counted("moves")}
INSERT INTO upstream_exchanges (kind, job_id, attempt, outcome, duration_seconds, detail)
SELECT 'submit', released.id, released.attempt, 'not_sent', asked.duration_seconds, asked.detail
FROM released JOIN asked USING (id)
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

_HAND_BACK = f"""
WITH freed AS (
    UPDATE jobs SET lease_until = NULL, owner = NULL WHERE owner = $1 AND state = ANY ($2::text[])
    RETURNING tenant_id, key_id, state
), moves AS (
    SELECT tenant_id, key_id, 0 AS queued, 0 AS ready, -1 AS claimed, 0 AS in_flight FROM freed WHERE state = 'queued'
), {counted("moves")}
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
    """Up to `most` running jobs that are due, the longest overdue first; none due longer ago. One statement.

    A short `overdue_seconds` is cheap: before what is due lie the index entries of all that was due since the last
    vacuum, and without it every look wades through them. debt: fetches that went out since the last claim.
    expires_seconds: only those that were submitted within it, the oldest first.
    """
    given = (most, owner, lease_seconds, LOOKAHEAD_SECONDS, overdue_seconds, debt)
    if expires_seconds is None:
        rows = await session.fetch(_BY_DUE, *given)
    else:
        rows = await session.fetch(_BY_EXPIRY, *given, expires_seconds)
    first = rows[0]
    taken = [row for row in rows if row["id"] is not None]
    return Taken(taken, first["claim_at"], first["wait_seconds"], first["alarmed"], first["trial"])


async def open_attempts(
    session: Session, *, owner: UUID, claims: Sequence[tuple[UUID, int]], lease_seconds: float
) -> dict[tuple[UUID, int], int]:
    """Number the attempts of these claims (id, fence); a claim that is missing from the answer was lost. One statement.

    Asked again after a lost answer, it gives the attempts that were opened then; nothing may have been sent meanwhile.
    """
    rows = await session.fetch(_OPEN_ATTEMPTS, *columns(claims, 2), owner, lease_seconds)
    return {(row["id"], row["fence"]): row["attempt"] for row in rows}


async def release_claims(session: Session, *, rows: Sequence[tuple[UUID, int, float, str, float]]) -> None:
    """Give back claims whose connection never came about: id, fence, due_seconds, detail, duration. One statement."""
    await session.execute(_RELEASE, *columns(rows, 5))


async def renew_leases(
    session: Session, *, owner: UUID, claims: Sequence[tuple[UUID, int]], lease_seconds: float
) -> set[tuple[UUID, int]]:
    """Lengthen the leases of those claims (id, fence) that still hold; gives which did. One statement."""
    rows = await session.fetch(_RENEW, *columns(claims, 2), owner, lease_seconds)
    return {(row["id"], row["fence"]) for row in rows}


async def hand_back(session: Session, *, owner: UUID, unsent_alone: bool = False) -> None:
    """A process that ends gives back what it holds: jobs that are not sent, and, but for `unsent_alone`, running ones. One
    statement."""
    states = [State.QUEUED] if unsent_alone else [State.QUEUED, State.RUNNING]
    await session.execute(_HAND_BACK, owner, states)
