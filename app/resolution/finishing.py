"""End adopted jobs whose record at the upstream has expired: the history has their outcome."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from app.core.database.session import Session
from app.jobs.claiming.decide import RECORD_SECONDS, Step
from app.jobs.claiming.records import Moved, PolledJob, PollRecord, record_polls
from app.jobs.endings import Ended
from app.jobs.models import ErrorCode, State
from app.jobs.unknown.adopting import AdoptedJob, set_recovered
from app.ledger.decide import charge
from app.resolution.reading import Reading
from app.resolution.recovered import recovered_body
from app.upstream.history_rows import HistoryRow
from app.upstream.wire import UpstreamState

EXPIRED: Final = timedelta(seconds=RECORD_SECONDS)


async def finish_expired(session: Session, *, jobs: Sequence[AdoptedJob], reading: Reading) -> Moved[PolledJob]:
    """End those of these jobs, adopted in this transaction, that the upstream can no longer be asked about. One that completed
    without a file in the history keeps running, and its polls find that the result is lost."""
    records = [
        record for job in jobs if (record := _record(job, reading.orphans[job.upstream_id], reading)) is not None
    ]
    if not records:
        return Moved((), 0, False, Ended())
    completed = [record.job_id for record in records if record.step.to_state is State.COMPLETED]
    await set_recovered(session, job_ids=completed)
    return await record_polls(session, records=records)


def _record(job: AdoptedJob, rows: Sequence[HistoryRow], reading: Reading) -> PollRecord | None:
    row = rows[0]
    if row.created_at is None or reading.began_at - row.created_at < EXPIRED:
        return None
    step = _step(rows)
    if step is None:
        return None
    cost = next((row.cost_micro for row in rows if row.cost_micro is not None), None)
    run_seconds = None if row.ended_at is None else (row.ended_at - row.created_at - reading.offset).total_seconds()
    detection_seconds = (
        None if row.ended_at is None else (reading.began_at + reading.offset - row.ended_at).total_seconds()
    )
    completed = step.to_state is State.COMPLETED
    charged = charge(price_rule=job.price_rule, markup_micro=job.markup_micro, held=job.held_micro, cost=cost)
    return PollRecord(
        job_id=job.id,
        fence=job.fence,
        step=step,
        run_seconds=run_seconds,
        detection_seconds=detection_seconds,
        cost_micro=cost,
        charge_micro=charged if completed else 0,
        exchanges=(),
    )


def _step(rows: Sequence[HistoryRow]) -> Step | None:
    body = recovered_body(rows)
    if body is not None:
        return Step(State.COMPLETED, "recovered", None, body=body, upstream_state=UpstreamState.COMPLETED)
    if rows[0].status == "FAILED":
        message = rows[0].error or "the upstream reported FAILED without an error message"
        return Step(State.FAILED, "failed", None, error_code=ErrorCode.UPSTREAM_FAILED, message=message)
    return None
