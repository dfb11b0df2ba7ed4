"""Record the outcomes of claims. The attempt guards records of submits, the fence guards records of polls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.jobs.claiming.decide import Step
from app.jobs.endings import Ended, EndedJob, emit_started, end_jobs
from app.jobs.models import FINAL, ExchangeKind
from app.ledger.queries import EXPOSE_SECOND_STARTS_PART
from app.pace.pauses.queries import ANYTHING_FORBIDDEN_PART
from app.upstream.wire import Outcome, OutcomeKind


@dataclass(frozen=True, slots=True)
class ExchangeRecord:
    """One HTTP call to the upstream that gets a row in `upstream_exchanges`."""

    kind: ExchangeKind
    job_id: UUID
    attempt: int
    outcome: Outcome

    def row(self) -> "_ExchangeRow":
        """Return it as a row of `upstream_exchanges`. There, unreadable is stored as trouble, and `detail` has the reason."""
        outcome = self.outcome
        kind = OutcomeKind.TROUBLE if outcome.kind is OutcomeKind.UNREADABLE else outcome.kind
        return _ExchangeRow(
            self.kind, self.job_id, self.attempt, outcome.status_code, kind, outcome.duration_seconds, outcome.detail
        )


@dataclass(frozen=True, slots=True)
class SubmitRecord:
    """The outcome of one attempt."""

    job_id: UUID
    attempt: int
    step: Step
    outcome: Outcome
    original: bytes | None = None
    """The upstream's original error, encrypted, if something was removed from it."""

    def row(self) -> "_SubmitRow":
        """Return the parameters of `record_submits.sql`."""
        step, told = self.step, self.outcome
        return _SubmitRow(
            self.job_id, self.attempt, step.to_state, step.reason, step.due_seconds, told.upstream_id,
            step.upstream_state, step.error_code, step.message, step.body, step.retry, told.status_code, told.kind,
            told.duration_seconds, told.detail, self.original,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PollRecord:
    """The outcome of the poll and fetch of one running job."""

    job_id: UUID
    fence: int
    step: Step
    run_seconds: float | None
    detection_seconds: float | None
    cost_micro: int | None
    charge_micro: int
    """The tenant's charge if the job ends now."""
    exchanges: tuple[ExchangeRecord, ...]
    starts: bool = False
    """Whether it is seen PROCESSING for the first time, and a webhook wants that event."""
    original: bytes | None = None
    """The upstream's original error, encrypted, if something was removed from it."""

    def row(self) -> "_PollRow":
        """Return the parameters of `record_polls.sql`."""
        step = self.step
        return _PollRow(
            self.job_id, self.fence, step.to_state, step.reason, step.due_seconds, step.upstream_state, step.gone,
            step.retry, step.error_code, step.message, step.body, self.run_seconds, self.detection_seconds,
            self.cost_micro, self.charge_micro, step.unreadable, self.original,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SettledJob(EndedJob):
    """runnable: whether a queue whose counts changed has a job that may be sent. forbidden: see Settled."""

    attempt: int
    runnable: bool | None
    forbidden: bool


@dataclass(frozen=True, slots=True)
class PolledJob(EndedJob):
    """started: whether it was seen PROCESSING for the first time. runnable: as in SettledJob."""

    started: bool
    runnable: bool | None


Job_co = TypeVar("Job_co", bound=EndedJob, covariant=True)


class Moved(NamedTuple, Generic[Job_co]):
    """The result of a record. rows: the changed jobs. due: how many deliveries are due. room: whether waiting jobs may be sent.
    The caller sends notifications for due and room. ended: the result of `end_jobs`."""

    rows: Sequence[Job_co]
    due: int
    room: bool
    ended: Ended


class Settled(NamedTuple):
    """The result of a record of attempts. late: for `record_late`; records that came too late to change their job, were recorded
    before, or have a later attempt of the job in the same group. forbidden: for `find_refuted`; whether 403s, or a pause because
    of them, are stored for any model."""

    moved: Moved[SettledJob]
    late: list[SubmitRecord]
    forbidden: bool


class _ExchangeRow(NamedTuple):
    kind: str
    job_id: UUID
    attempt: int
    status_code: int | None
    outcome: str
    duration_seconds: float
    detail: str


class _SubmitRow(NamedTuple):
    id: UUID
    attempt: int
    to_state: str
    reason: str
    due_seconds: float | None
    upstream_id: str | None
    upstream_state: str | None
    error_code: str | None
    message: str | None
    body: bytes | None
    retry: bool
    status_code: int | None
    outcome: str
    duration_seconds: float
    detail: str
    original: bytes | None


class _PollRow(NamedTuple):
    id: UUID
    fence: int
    to_state: str
    reason: str
    due_seconds: float | None
    upstream_state: str | None
    gone: bool
    retry: bool
    error_code: str | None
    message: str | None
    body: bytes | None
    run_seconds: float | None
    detection_seconds: float | None
    cost_micro: int | None
    charge_micro: int
    unreadable: bool
    original: bytes | None


_SQL = SqlFolder(__file__)
_RECORD_SUBMITS = _SQL.query("record_submits", SettledJob, parts={"anything_forbidden": ANYTHING_FORBIDDEN_PART})
_RECORD_LATE = _SQL.command("record_late", parts={"expose_second_starts": EXPOSE_SECOND_STARTS_PART})
_OBSERVE_UPSTREAM_ID = _SQL.command("observe_upstream_id")
_RECORD_POLLS = _SQL.query("record_polls", PolledJob)


async def record_submits(session: Session, *, records: Sequence[SubmitRecord], lock_seconds: float = 0.0) -> Settled:
    """Record the outcomes of attempts, and return the changed jobs. One statement if none of them ends.

    Raises asyncpg.UniqueViolationError if the upstream gave the same id to two submits, and asyncpg.LockNotAvailableError if the
    transaction waits longer than `lock_seconds` for a lock. 0: no limit.
    """
    rows = columns_of(_SubmitRow, [record.row() for record in records])
    moved = await session.rows(_RECORD_SUBMITS, **rows, lock_seconds=lock_seconds)
    ended = await end_jobs(session, ended=[row for row in moved if row.state in FINAL])
    settled = {(row.id, row.attempt) for row in moved}
    late = [record for record in records if (record.job_id, record.attempt) not in settled]
    forbidden = bool(moved and moved[0].forbidden)
    return Settled(Moved(moved, ended.due, _room(moved), ended), late, forbidden)


async def record_late(
    session: Session, *, worker: UUID, records: Sequence[SubmitRecord], lock_seconds: float = 0.0
) -> None:
    """Record outcomes that came too late to change their job. One statement; a repetition changes nothing. `lock_seconds`: as in
    `record_submits`."""
    rows = columns_of(_SubmitRow, [record.row() for record in records])
    await session.run(_RECORD_LATE, **rows, worker=worker, lock_seconds=lock_seconds)


async def observe_upstream_id(session: Session, *, job_id: UUID, attempt: int, upstream_id: str, worker: UUID) -> None:
    """Record an upstream id that cannot become the job's own. One statement."""
    await session.run(_OBSERVE_UPSTREAM_ID, job_id=job_id, attempt=attempt, upstream_id=upstream_id, worker=worker)


async def record_polls(
    session: Session, *, records: Sequence[PollRecord], lock_seconds: float = 0.0
) -> Moved[PolledJob]:
    """Record the outcomes of polls and fetches, and return the jobs whose fence was still valid. One statement if none of them
    ends or begins to run. `lock_seconds`: as in `record_submits`."""
    exchanges = columns_of(_ExchangeRow, [exchange.row() for record in records for exchange in record.exchanges])
    moved = await session.rows(
        _RECORD_POLLS, **columns_of(_PollRow, [record.row() for record in records]),
        **{f"exchange_{name}": values for name, values in exchanges.items()}, lock_seconds=lock_seconds,
    )  # fmt: skip
    ended = await end_jobs(session, ended=[row for row in moved if row.state in FINAL])
    starts = {record.job_id for record in records if record.starts}
    due = await emit_started(session, started=[row for row in moved if row.started and row.id in starts])
    return Moved(moved, ended.due + due, _room(moved), ended)


def _room(moved: Sequence[SettledJob | PolledJob]) -> bool:
    return bool(moved and moved[0].runnable)
