"""Writing down what came of a claim: guarded by the attempt for submits, by the fence for polls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.admission.model_pauses import ANYTHING_FORBIDDEN
from app.core.db import Row, Session, asked, columns
from app.jobs.decide import Step
from app.jobs.endings import ENDED, Ended, end_jobs, tell_started
from app.jobs.models import FINAL, ExchangeKind
from app.jobs.queues import set_patience
from app.jobs.transitions import WAS, Move, transition
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
    either somebody should ring. ended: what else hangs on the ends among them."""

    rows: list[Row]
    due: int
    room: bool
    ended: Ended


class Settled(NamedTuple):
    """What a record of attempts has moved. late: what came too late to move its job, or was recorded before, also where the
    same group has a later attempt of that job: for `record_late`. forbidden: whether 403s, or a pause because of them, are kept
    of any model: for `find_refuted`."""

    moved: Moved
    late: list[SubmitRecord]
    forbidden: bool


# What becomes of these attempts? First-hand knowledge holds as long as the attempt is the job's latest and the job has
# not ended, even where a sweep has called it unknown meanwhile. What comes later moves nothing (`_RECORD_LATE`). Asked again
# after a lost answer, it changes nothing. Whether a cancel was asked for is written as it was read under lock: an UPDATE judges
# CHECKs by the row that its statement saw first.
_SUBMITS = asked(
    id="uuid", attempt="smallint", to_state="text", reason="text", due_seconds="double precision", upstream_id="text",
    upstream_state="text", error_code="text", message="text", body="bytea", retry="boolean", status_code="smallint",
    outcome="text", duration_seconds="double precision", detail="text", original="bytea",
)  # fmt: skip
_SETTLED = Move(
    rows="believed",
    state="before.state",
    reason="before.reason",
    sets="""
        cancel_requested_at = before.cancel_requested_at, takeovers = 0, lease_until = NULL, owner = NULL,
        due_at = CASE WHEN before.state NOT IN ('failed', 'canceled') THEN now() + make_interval(secs => before.due_seconds) END,
        ready = before.state = 'queued' AND before.due_seconds <= 0,
        finished_at = CASE WHEN before.state IN ('failed', 'canceled') THEN now() END,
        submitted_at = CASE WHEN before.state = 'running' THEN now() END,
        upstream_id = before.upstream_id, upstream_state = before.upstream_state,
        error_code = CASE WHEN before.state = 'failed' THEN before.error_code END,
        retries = CASE WHEN before.retry THEN least(jobs.retries + 1, 1000) ELSE 0 END
    """,
    returning=f"{ENDED}, jobs.attempt, before.reason",
)
_RECORD_SUBMITS = f"""
WITH asked AS (
    {_SUBMITS}
), patience AS MATERIALIZED ({set_patience("$17::double precision")}), believed AS (
    SELECT
        asked.*, {WAS}, job.cancel_requested_at,
        CASE WHEN job.cancel_requested_at IS NOT NULL AND asked.to_state IN ('queued', 'failed') THEN 'canceled'
            ELSE asked.to_state END AS state
    FROM asked JOIN jobs AS job ON job.id = asked.id AND job.attempt = asked.attempt
    WHERE job.state IN ('sending', 'unknown') AND job.state <> asked.to_state AND (SELECT taken FROM patience)
    ORDER BY job.id FOR UPDATE OF job
), {transition(_SETTLED)}, settled AS (
    UPDATE attempts SET outcome = before.outcome, settled_at = now(), upstream_id = before.upstream_id
    FROM believed AS before WHERE attempts.job_id = before.id AND attempts.attempt = before.attempt
), results AS (
    INSERT INTO job_results (job_id, body, message, original)
    SELECT id, body, message, original FROM believed WHERE state = 'failed'
), exchanges AS (
    INSERT INTO upstream_exchanges (kind, job_id, attempt, status_code, outcome, duration_seconds, detail)
    SELECT 'submit', id, attempt, status_code, outcome, duration_seconds, detail FROM believed
)
SELECT moved.*, (SELECT bool_or(runnable) FROM counted) AS runnable, {ANYTHING_FORBIDDEN} AS forbidden FROM moved
"""  # noqa: S608

# What came of these attempts too late to move their jobs? An id that is not the job's own is kept as an observation; where
# the job has one of its own, the upstream has started it twice. Asked again, it changes nothing.
_RECORD_LATE = f"""
WITH asked AS (
    {_SUBMITS}
), patience AS MATERIALIZED ({set_patience("$18::double precision")}), exchanges AS (
    INSERT INTO upstream_exchanges (kind, job_id, attempt, status_code, outcome, duration_seconds, detail)
    SELECT 'submit', id, attempt, status_code, outcome, duration_seconds, detail FROM asked
    WHERE NOT EXISTS (
        SELECT FROM upstream_exchanges AS kept WHERE kept.job_id = asked.id AND kept.attempt = asked.attempt
            AND kept.kind = 'submit' AND kept.outcome = asked.outcome AND kept.duration_seconds = asked.duration_seconds
    )
), another AS (
    SELECT job.id, asked.attempt, job.tenant_id, job.held_micro, job.upstream_id AS own_id, asked.upstream_id
    FROM asked JOIN jobs AS job ON job.id = asked.id AND job.upstream_id IS DISTINCT FROM asked.upstream_id
    WHERE asked.upstream_id IS NOT NULL AND (SELECT taken FROM patience)
), observed AS (
    INSERT INTO upstream_observations (job_id, attempt, upstream_id, worker)
    SELECT id, attempt, upstream_id, $17 FROM another ON CONFLICT DO NOTHING
), second_starts AS (
    SELECT id, tenant_id, upstream_id, held_micro FROM another WHERE own_id IS NOT NULL
)
{EXPOSE_SECOND_STARTS}
"""  # noqa: S608

_OBSERVE = """
INSERT INTO upstream_observations (job_id, attempt, upstream_id, worker) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""

_POLLS = asked(
    id="uuid", fence="bigint", to_state="text", reason="text", due_seconds="double precision", upstream_state="text",
    gone="boolean", retry="boolean", error_code="text", message="text", body="bytea", run_seconds="double precision",
    detection_seconds="double precision", cost_micro="bigint", charge_micro="bigint", unreadable="boolean", original="bytea",
)  # fmt: skip
_EXCHANGES = asked(
    18, kind="text", job_id="uuid", attempt="smallint", status_code="smallint", outcome="text",
    duration_seconds="double precision", detail="text",
)  # fmt: skip
_POLLED = Move(
    rows="held",
    state="before.state",
    also_told="before.changed",
    reason="before.reason",
    sets="""
        cancel_requested_at = before.cancel_requested_at,
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
        run_seconds = before.run_seconds, detection_seconds = before.detection_seconds,
        cost_micro = coalesce(before.cost_micro, jobs.cost_micro), charged_micro = before.charge_micro,
        takeovers = 0, lease_until = NULL, owner = NULL
    """,
    returning=f"""{ENDED}, before.reason,
        before.state = 'running' AND before.upstream_state = 'PROCESSING' AND jobs.started_at = now() AS started""",
)

# What becomes of these running jobs? Only who holds the fence may say.
_RECORD_POLLS = f"""
WITH asked AS (
    {_POLLS}
), patience AS MATERIALIZED ({set_patience("$25::double precision")}), held AS (
    SELECT
        asked.*, {WAS}, job.cancel_requested_at,
        CASE WHEN job.cancel_requested_at IS NOT NULL AND asked.to_state <> 'running' THEN 'canceled'
            ELSE asked.to_state END AS state,
        asked.upstream_state IS DISTINCT FROM job.upstream_state AS changed
    FROM asked JOIN jobs AS job ON job.id = asked.id AND job.fence = asked.fence
    WHERE job.state = 'running' AND (SELECT taken FROM patience)
    ORDER BY job.id FOR UPDATE OF job
), {transition(_POLLED)}, results AS (
    INSERT INTO job_results (job_id, body, message, original)
    SELECT id, body, message, original FROM held WHERE state IN ('completed', 'failed')
), exchanges AS (
    INSERT INTO upstream_exchanges (kind, job_id, attempt, status_code, outcome, duration_seconds, detail)
    {_EXCHANGES}
)
SELECT moved.*, (SELECT bool_or(runnable) FROM counted) AS runnable FROM moved
"""  # noqa: S608


async def record_submits(session: Session, *, records: Sequence[SubmitRecord], lock_seconds: float = 0.0) -> Settled:
    """Settle attempts; gives id, attempt, state, model and tenant_id of the jobs that moved. One statement where none of them ends.

    Raises asyncpg.UniqueViolationError where the upstream gave one id to two submits, and asyncpg.LockNotAvailableError
    where the transaction waits longer than `lock_seconds` for a lock; 0: as long as it takes.
    """
    moved = await session.fetch(_RECORD_SUBMITS, *columns([record.row() for record in records], 16), lock_seconds)
    ended = await end_jobs(session, ended=[row for row in moved if row["state"] in FINAL])
    settled = {(row["id"], row["attempt"]) for row in moved}
    late = [record for record in records if (record.job_id, record.attempt) not in settled]
    forbidden = bool(moved and moved[0]["forbidden"])
    return Settled(Moved(moved, ended.due, _room(moved), ended), late, forbidden)


async def record_late(
    session: Session, *, worker: UUID, records: Sequence[SubmitRecord], lock_seconds: float = 0.0
) -> None:
    """Keep what came too late to move its job. One statement, which changes nothing where it is asked for again.
    `lock_seconds` as of `record_submits`."""
    await session.execute(_RECORD_LATE, *columns([record.row() for record in records], 16), worker, lock_seconds)


async def observe_upstream_id(session: Session, *, job_id: UUID, attempt: int, upstream_id: str, worker: UUID) -> None:
    """Keep an upstream id that cannot become the job's own. One statement."""
    await session.execute(_OBSERVE, job_id, attempt, upstream_id, worker)


async def record_polls(session: Session, *, records: Sequence[PollRecord], lock_seconds: float = 0.0) -> Moved:
    """Write down polls and ends; gives id and state of the jobs whose fence still held. One statement where none of
    them ends or begins to run. `lock_seconds` as of `record_submits`."""
    exchanges = [exchange.row() for record in records for exchange in record.exchanges]
    moved = await session.fetch(
        _RECORD_POLLS, *columns([record.row() for record in records], 17), *columns(exchanges, 7), lock_seconds
    )
    ended = await end_jobs(session, ended=[row for row in moved if row["state"] in FINAL])
    starts = {record.job_id for record in records if record.starts}
    due = await tell_started(session, started=[row for row in moved if row["started"] and row["id"] in starts])
    return Moved(moved, ended.due + due, _room(moved), ended)


def _room(moved: list[Row]) -> bool:
    return bool(moved and moved[0]["runnable"])
