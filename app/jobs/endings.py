"""What must be written when a job ends: post or release its hold, count its usage, record exposure, and emit its event.

Every statement that ends jobs returns an EndedJob for each (parts `moved_columns` and `ended_columns`). Its caller passes them to
`end_jobs` in the same transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.catalog.operations import count_above_hold
from app.core.database.session import Session
from app.jobs.models import ErrorCode, State
from app.ledger.decide import uncovered
from app.ledger.models import ExposureReason
from app.ledger.settling import Exposure, Settlement, expose, settle
from app.webhooks.emit import JobEvent, emit_job_events
from app.webhooks.models import EventType


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job whose state a statement has changed, with what `end_jobs` needs if the job ended. reason: why it ended, also for a
    canceled job. In a row for a job that was not changed, all fields except `id` and `state` are null."""

    id: UUID
    tenant_id: UUID
    key_id: UUID | None
    state: str
    revision: int
    model: str
    error_code: str | None
    upstream_id: str | None
    finished_at: datetime | None
    held_micro: int
    charged_micro: int
    price_rule: str
    markup_micro: int
    cost_micro: int | None
    run_seconds: float | None
    reason: str


_LOST = frozenset({
    ErrorCode.RESULT_LOST, ErrorCode.RESULT_TOO_LARGE, ErrorCode.RESULT_UNREADABLE, ErrorCode.UPSTREAM_UNAVAILABLE,
    ErrorCode.POISON,
})  # fmt: skip
ALARM_TIMES = 10
"""A cost of this many times the hold counts towards disabling the model. A lower one is only recorded and logged."""


class Ended(NamedTuple):
    """The result of `end_jobs`. due: how many deliveries are due; the caller sends a notification. To be logged after the commit:
    above_hold, jobs that cost more than their hold, and disabled, models disabled for that."""

    due: int = 0
    above_hold: Sequence[EndedJob] = ()
    disabled: Sequence[str] = ()


async def end_jobs(session: Session, *, ended: Sequence[EndedJob]) -> Ended:
    """Settle the jobs that this transaction has just ended, record exposures, and emit events. No statement if there are none."""
    if not ended:
        return Ended()
    await settle(session, settlements=[_settlement(row) for row in ended])
    exposures = [exposure for row in ended if (exposure := exposure_of(row)) is not None]
    if exposures:
        await expose(session, exposures=exposures)
    above = {exposure.job_id for exposure in exposures if exposure.reason is ExposureReason.COST_ABOVE_HOLD}
    above_hold = [row for row in ended if row.id in above]
    disabled = await _mind_prices(session, above_hold)
    due = await emit_job_events(session, events=[_event(row, EventType(f"job.{row.state}")) for row in ended])
    return Ended(due, above_hold, disabled)


async def emit_started(session: Session, *, started: Sequence[EndedJob]) -> int:
    """Emit the events `job.processing` of jobs that this transaction has just changed. Returns how many deliveries are due. No
    statement if there are none."""
    if not started:
        return 0
    return await emit_job_events(session, events=[_event(row, EventType.JOB_PROCESSING) for row in started])


def _event(row: EndedJob, type_: EventType) -> JobEvent:
    return JobEvent(row.tenant_id, row.id, type_, row.revision)


def _settlement(row: EndedJob) -> Settlement:
    assert row.finished_at is not None
    return Settlement(
        job_id=row.id,
        tenant_id=row.tenant_id,
        key_id=row.key_id,
        model=row.model,
        outcome=row.state,
        ended_at=row.finished_at,
        held=row.held_micro,
        charged=row.charged_micro,
        cost=row.cost_micro,
        run_seconds=row.run_seconds,
    )


def exposure_of(row: EndedJob) -> Exposure | None:
    """Return what the upstream charged, or may have charged, for an ended job and its tenant does not pay. None: nothing.

    The upstream states that failed runs are free, so a failed job counts only with a reported cost. A lost result counts with
    its cost, or its hold if the cost is not known. An unknown submission counts with its hold.
    """
    found = _uncovered(row)
    return None if found is None else Exposure(row.id, row.tenant_id, *found)


def _uncovered(row: EndedJob) -> tuple[ExposureReason, int] | None:
    if row.state == State.COMPLETED or row.charged_micro:
        return uncovered(
            price_rule=row.price_rule, markup_micro=row.markup_micro, held=row.held_micro,
            charged=row.charged_micro, cost=row.cost_micro,
        )  # fmt: skip
    if row.upstream_id is not None and row.reason in _LOST:
        return ExposureReason.LOST, row.held_micro if row.cost_micro is None else row.cost_micro
    if row.cost_micro:
        return ExposureReason.FAILED, row.cost_micro
    if row.reason == ErrorCode.SUBMISSION_UNKNOWN:
        return ExposureReason.UNKNOWN, row.held_micro
    return None


async def _mind_prices(session: Session, above_hold: Sequence[EndedJob]) -> Sequence[str]:
    """Disable models that have twice cost ten times the hold. Returns those disabled now."""
    alarming = [row.model for row in above_hold if (row.cost_micro or 0) >= ALARM_TIMES * max(row.held_micro, 1)]
    return await count_above_hold(session, models=alarming) if alarming else ()
