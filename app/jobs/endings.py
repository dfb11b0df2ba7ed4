"""What hangs on the end of a job: its hold is resolved, its use counted, what nobody pays for is written down, and its
event is there for whoever asked to be told.

Every statement that ends jobs gives an EndedJob of each (parts `moved_columns` and `ended_columns`), and whoever runs it hands them to
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
    """A job that a statement has moved, with what `end_jobs` needs where that is its end. reason: why it ended, which a cancel does
    not hide. All but `id` and `state` are null in a row that stands for one that was not moved."""

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
"""A cost of so many times its hold counts towards switching the model off; a lower one is written down and told alone."""


class Ended(NamedTuple):
    """What hangs on the ends of some jobs. due: deliveries, for which somebody should ring. To be logged after the commit:
    above_hold, the jobs that cost more than their hold, and disabled, the models switched off by that."""

    due: int = 0
    above_hold: Sequence[EndedJob] = ()
    disabled: Sequence[str] = ()


async def end_jobs(session: Session, *, ended: Sequence[EndedJob]) -> Ended:
    """See these jobs, which the transaction has just ended, through. No statement without any."""
    if not ended:
        return Ended()
    await settle(session, settlements=[_settlement(row) for row in ended])
    exposures = [exposure for row in ended if (exposure := exposure_of(row)) is not None]
    if exposures:
        await expose(session, exposures=exposures)
    above = {one.job_id for one in exposures if one.reason is ExposureReason.COST_ABOVE_HOLD}
    above_hold = [row for row in ended if row.id in above]
    disabled = await _mind_prices(session, above_hold)
    due = await emit_job_events(session, events=[_event(row, EventType(f"job.{row.state}")) for row in ended])
    return Ended(due, above_hold, disabled)


async def tell_started(session: Session, *, started: Sequence[EndedJob]) -> int:
    """The transaction has just seen these jobs begin to run; gives how many deliveries are due by it. No statement without
    any."""
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
    """What the upstream charged for an ended job, or may have, that its tenant does not pay.

    Failed runs are free upstream by its own word, so they count where it reports a cost all the same. What is lost counts
    with its cost where that is known; of what is unknown the hold is what we expect.
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
    """A model that twice costs ten times its hold is switched off before it costs more; gives those that are now."""
    dear = [row.model for row in above_hold if (row.cost_micro or 0) >= ALARM_TIMES * max(row.held_micro, 1)]
    return await count_above_hold(session, models=dear) if dear else ()
