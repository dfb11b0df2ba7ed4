"""Writing down what came of a claim: guarded by the attempt for submits, by the fence for polls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.admission.model_pauses import ACCEPTANCE_MATTERS
from app.admission.queues import counted
from app.core.db import Row, Session, columns
from app.jobs.decide import Step
from app.jobs.endings import ENDED, Ended, end_jobs, tell_started
from app.jobs.models import FINAL, ExchangeKind
from app.ledger.settling import EXPOSE_SECOND_STARTS
from app.upstream.wire import Outcome, OutcomeKind


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP call to the upstream that is worth a row."""

    kind: ExchangeKind
    job_id: UUID
    attempt: int
    outcome: Outcome

    def row(self) -> tuple[object, ...]:
        """As `upstream_exchanges` has it; there, what could not be read is trouble, and `detail` tells."""
        told = self.outcome
        kind = OutcomeKind.TROUBLE if told.kind is OutcomeKind.UNREADABLE else told.kind
        return (self.kind, self.job_id, self.attempt, told.status_code, kind, told.duration_seconds, told.detail)


@dataclass(frozen=True, slots=True)
class SubmitRecord:
    """What came of one attempt."""

    job_id: UUID
    attempt: int
    step: Step
    outcome: Outcome
    original: bytes | None = None
    """The upstream's error as it came, sealed, where something was left out of it."""

    def row(self) -> tuple[object, ...]:
        """As `_RECORD_SUBMITS` asks for it."""
        step, told = self.step, self.outcome
        return (
            self.job_id, self.attempt, step.to_state, step.reason, step.due_seconds, told.upstream_id,
            step.upstream_state, step.error_code, step.message, step.body, step.retry, told.status_code, told.kind,
            told.duration_seconds, told.detail, self.original,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PollRecord:
    """What came of asking about one running job."""

    job_id: UUID
    fence: int
    step: Step
    run_seconds: float | None
    detection_seconds: float | None
    cost_micro: int | None
    charge_micro: int
    """What its tenant pays if this is its end."""
    exchanges: tuple[Exchange, ...]
    starts: bool = False
    """Whether it is seen running now, for the first time, and somebody wants to be told."""
    original: bytes | None = None
    """The upstream's error as it came, sealed, where something was left out of it."""

    def row(self) -> tuple[object, ...]:
        """As `_RECORD_POLLS` asks for it."""
        step = self.step
        return (
            self.job_id, self.fence, step.to_state, step.reason, step.due_seconds, step.upstream_state, step.gone,
            step.retry, step.error_code, step.message, step.body, self.run_seconds, self.detection_seconds,
            self.cost_micro, self.charge_micro, step.unreadable, self.original,
        )  # fmt: skip


class Moved(NamedTuple):
    """What a record has moved, how many deliveries are due by it, and whether it has made room for jobs that wait: of
    either somebody should ring. ended: what else hangs on the ends among them. Of submits a row's `refutes` says whether 403s or a pause of its model stood against its
    acceptance."""

    rows: list[Row]
    due: int
    room: bool
    ended: Ended


# What becomes of these attempts? First-hand knowledge holds as long as the attempt is the job's latest and the job has
# not ended, even where a sweep has called it unknown meanwhile. An id that comes too late is kept as an observation.
# Asked again after a lost answer, it changes nothing. Whether a cancel was asked for is written as it was read under lock:
# an UPDATE judges CHECKs by the row that its statement saw first.
_RECORD_SUBMITS = f"""
WITH asked AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::double precision[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::bytea[], $11::boolean[], $12::smallint[], $13::text[], $14::double precision[], $15::text[],
        $16::bytea[]
    ) AS t (
        id, attempt, to_state, reason, due_seconds, upstream_id, upstream_state, error_code, message, body, retry,
        status_code, outcome, duration_seconds, detail, original
    )
), locked AS (
    SELECT
        asked.*, job.state AS from_state, job.revision, job.attempt AS latest, job.upstream_id AS own_id,
        job.tenant_id, job.held_micro, job.cancel_requested_at,
        CASE
            WHEN job.cancel_requested_at IS NOT NULL AND asked.to_state IN ('queued', 'failed') THEN 'canceled'
            ELSE asked.to_state
        END AS state
    FROM asked JOIN jobs AS job ON job.id = asked.id
    ORDER BY job.id
    FOR UPDATE OF job
), before AS (
    SELECT * FROM locked
    WHERE attempt = latest AND from_state IN ('sending', 'unknown') AND from_state <> to_state
), moved AS (
    UPDATE jobs SET
        state = before.state,
        cancel_requested_at = before.cancel_requested_at,
        revision = jobs.revision + 1,
        due_at = CASE
            WHEN before.state IN ('failed', 'canceled') THEN NULL
            ELSE now() + make_interval(secs => before.due_seconds)
        END,
        ready = before.state = 'queued' AND before.due_seconds <= 0,
        finished_at = CASE WHEN before.state IN ('failed', 'canceled') THEN now() END,
        submitted_at = CASE WHEN before.state = 'running' THEN now() END,
        upstream_id = before.upstream_id,
        upstream_state = before.upstream_state,
        error_code = CASE WHEN before.state = 'failed' THEN before.error_code END,
        retries = CASE WHEN before.retry THEN least(jobs.retries + 1, 1000) ELSE 0 END,
        takeovers = 0,
        lease_until = NULL,
        owner = NULL
    FROM before WHERE jobs.id = before.id
    RETURNING {ENDED}, jobs.ready, before.from_state, before.reason
), settled AS (
    UPDATE attempts SET outcome = before.outcome, settled_at = now(), upstream_id = before.upstream_id
    FROM before WHERE attempts.job_id = before.id AND attempts.attempt = before.attempt
), events AS (
    INSERT INTO job_events (job_id, seq, from_state, to_state, reason)
    SELECT id, revision + 1, from_state, state, reason FROM before
), results AS (
    INSERT INTO job_results (job_id, body, message, original)
    SELECT id, body, message, original FROM before WHERE state = 'failed'
), exchanges AS (
    INSERT INTO upstream_exchanges (kind, job_id, attempt, status_code, outcome, duration_seconds, detail)
    SELECT 'submit', id, attempt, status_code, outcome, duration_seconds, detail FROM asked
    WHERE NOT EXISTS (
        SELECT FROM upstream_exchanges AS kept
        WHERE kept.job_id = asked.id AND kept.attempt = asked.attempt AND kept.kind = 'submit'
            AND kept.outcome = asked.outcome AND kept.duration_seconds = asked.duration_seconds
    )
), late AS (
    INSERT INTO upstream_observations (job_id, attempt, upstream_id, worker)
    SELECT id, attempt, upstream_id, $17 FROM locked
    WHERE upstream_id IS NOT NULL AND own_id IS DISTINCT FROM upstream_id
        AND NOT EXISTS (SELECT FROM before WHERE before.id = locked.id)
    ON CONFLICT DO NOTHING
), second_starts AS (
    SELECT id, tenant_id, upstream_id, held_micro FROM locked WHERE upstream_id <> own_id
), exposed AS (
    {EXPOSE_SECOND_STARTS}
), moves AS (
    SELECT
        tenant_id, key_id, (state = 'queued')::integer AS queued, ready::integer AS ready, 0 AS claimed,
        -(state IN ('queued', 'failed', 'canceled'))::integer AS in_flight
    FROM moved
), {counted("moves")}
SELECT
    moved.*, (SELECT bool_or(runnable) FROM counted) AS runnable,
    moved.state = 'running' AND {ACCEPTANCE_MATTERS} AS refutes
FROM moved
"""  # noqa: S608

_OBSERVE = """
INSERT INTO upstream_observations (job_id, attempt, upstream_id, worker) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""

# What becomes of these running jobs? Only who holds the fence may say.
_RECORD_POLLS = f"""
WITH asked AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::double precision[], $6::text[], $7::boolean[],
        $8::boolean[], $9::text[], $10::text[], $11::bytea[], $12::double precision[], $13::double precision[],
        $14::bigint[], $15::bigint[], $16::boolean[], $17::bytea[]
    ) AS t (
        id, fence, to_state, reason, due_seconds, upstream_state, gone, retry, error_code, message, body, run_seconds,
        detection_seconds, cost_micro, charge_micro, unreadable, original
    )
), before AS (
    SELECT
        asked.*, job.revision, job.cancel_requested_at,
        CASE
            WHEN job.cancel_requested_at IS NOT NULL AND asked.to_state <> 'running' THEN 'canceled'
            ELSE asked.to_state
        END AS state,
        asked.to_state <> 'running' OR asked.upstream_state IS DISTINCT FROM job.upstream_state AS changed
    FROM asked JOIN jobs AS job ON job.id = asked.id AND job.fence = asked.fence
    WHERE job.state = 'running'
    ORDER BY job.id
    FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET
        state = before.state,
        cancel_requested_at = before.cancel_requested_at,
        revision = jobs.revision + before.changed::integer,
        due_at = CASE WHEN before.state = 'running' THEN now() + make_interval(secs => before.due_seconds) END,
        finished_at = CASE WHEN before.state <> 'running' THEN now() END,
        started_at = CASE
            WHEN before.upstream_state IN ('PROCESSING', 'COMPLETED') THEN coalesce(jobs.started_at, now())
            ELSE jobs.started_at
        END,
        gone_since = CASE WHEN before.gone THEN coalesce(jobs.gone_since, now()) END,
        upstream_state = coalesce(before.upstream_state, jobs.upstream_state),
        unreadable = CASE
            WHEN before.unreadable THEN least(jobs.unreadable + 1, 1000) WHEN before.retry THEN jobs.unreadable ELSE 0
        END,
        polls = jobs.polls + 1,
        retries = CASE WHEN before.retry THEN least(jobs.retries + 1, 1000) ELSE 0 END,
        error_code = CASE WHEN before.state = 'failed' THEN before.error_code END,
        run_seconds = before.run_seconds,
        detection_seconds = before.detection_seconds,
        cost_micro = coalesce(before.cost_micro, jobs.cost_micro),
        charged_micro = before.charge_micro,
        takeovers = 0,
        lease_until = NULL,
        owner = NULL
    FROM before WHERE jobs.id = before.id
    RETURNING {ENDED}, before.reason,
        before.state = 'running' AND before.upstream_state = 'PROCESSING' AND jobs.started_at = now() AS started
), events AS (
    INSERT INTO job_events (job_id, seq, from_state, to_state, reason)
    SELECT id, revision + 1, 'running', state, reason FROM before WHERE changed
), results AS (
    INSERT INTO job_results (job_id, body, message, original)
    SELECT id, body, message, original FROM before WHERE state IN ('completed', 'failed')
), exchanges AS (
    INSERT INTO upstream_exchanges (kind, job_id, attempt, status_code, outcome, duration_seconds, detail)
    SELECT * FROM unnest(
        $18::text[], $19::uuid[], $20::smallint[], $21::smallint[], $22::text[], $23::double precision[], $24::text[]
    )
), moves AS (
    SELECT tenant_id, key_id, 0 AS queued, 0 AS ready, 0 AS claimed, -1 AS in_flight FROM moved WHERE state <> 'running'
), {counted("moves")}
SELECT moved.*, (SELECT bool_or(runnable) FROM counted) AS runnable FROM moved
"""  # noqa: S608


async def record_submits(session: Session, *, worker: UUID, records: Sequence[SubmitRecord]) -> Moved:
    """Settle attempts; gives id, from_state, state, model, tenant_id and `refutes` of the jobs that moved. One statement
    where none of them ends.

    Raises asyncpg.UniqueViolationError where the upstream gave one id to two submits.
    """
    moved = await session.fetch(_RECORD_SUBMITS, *columns([record.row() for record in records], 16), worker)
    ended = await end_jobs(session, ended=[row for row in moved if row["state"] in FINAL])
    return Moved(moved, ended.due, _room(moved), ended)


async def observe_upstream_id(session: Session, *, job_id: UUID, attempt: int, upstream_id: str, worker: UUID) -> None:
    """Keep an upstream id that cannot become the job's own. One statement."""
    await session.execute(_OBSERVE, job_id, attempt, upstream_id, worker)


async def record_polls(session: Session, *, records: Sequence[PollRecord]) -> Moved:
    """Write down polls and ends; gives id and state of the jobs whose fence still held. One statement where none of
    them ends or begins to run."""
    exchanges = [exchange.row() for record in records for exchange in record.exchanges]
    moved = await session.fetch(
        _RECORD_POLLS, *columns([record.row() for record in records], 17), *columns(exchanges, 7)
    )
    ended = await end_jobs(session, ended=[row for row in moved if row["state"] in FINAL])
    starts = {record.job_id for record in records if record.starts}
    due = await tell_started(session, started=[row for row in moved if row["started"] and row["id"] in starts])
    return Moved(moved, ended.due + due, _room(moved), ended)


def _room(moved: list[Row]) -> bool:
    return bool(moved and moved[0]["runnable"])
