"""Writes of a recovery: what the upstream's history says about jobs that may have been sent in the lost time."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder
from app.jobs.admin.recover import RECOVERER, Forgotten
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import SubmitRecord, record_late, record_submits
from app.jobs.models import Resolution, State
from app.jobs.unknown.adopting import Adoption, adopt_attempts
from app.reconciliation.decide import about
from app.reconciliation.matching import Candidate
from app.reconciliation.models import DiscrepancyKind
from app.reconciliation.operations import note
from app.upstream.history_rows import HistoryRow, read_body
from app.upstream.wire import Outcome, OutcomeKind

BATCH_MAX = 500


class _Observed(NamedTuple):
    job_id: UUID
    upstream_id: str


_LIST_OBSERVED = SqlFolder(__file__).query("list_observed", _Observed)


def candidate_of(job: Forgotten) -> Candidate:
    """Return the job as `match` takes it."""
    return Candidate(job.id, job.tenant_id, job.model, job.created_at, read_body(job.body))


async def list_observed(session: ReadSession, *, job_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return by job id the upstream's id that a worker recorded too late."""
    return {row.job_id: row.upstream_id for row in await session.rows(_LIST_OBSERVED, job_ids=list(job_ids))}


async def adopt(session: Session, *, jobs: dict[UUID, int], upstream_ids: dict[UUID, str]) -> int:
    """Set these unknown jobs to running, as these requests. Return how many moved. `jobs`: attempts by id. One statement."""
    adoptions = [Adoption(job_id, jobs[job_id], upstream_id) for job_id, upstream_id in sorted(upstream_ids.items())]
    if not adoptions:
        return 0
    return len(await adopt_attempts(session, adoptions=adoptions, resolution=Resolution.ADOPTED))


async def requeue(session: Session, *, jobs: dict[UUID, int]) -> int:
    """Queue these unknown jobs, which were never sent; end those with a requested cancel. Return how many moved."""
    step = Step(State.QUEUED, "not_sent", 0.0)
    outcome = Outcome(OutcomeKind.NOT_SENT, None, 0.0, "recovered")
    records = [SubmitRecord(job_id, attempt, step, outcome) for job_id, attempt in sorted(jobs.items())]
    return await _record(session, records)


async def _record(session: Session, records: Sequence[SubmitRecord]) -> int:
    if not records:
        return 0
    settled = await record_submits(session, records=records)
    if settled.late:
        await record_late(session, worker=RECOVERER, records=settled.late)
    return len(settled.moved.rows)


async def note_orphans(session: Session, *, rows: Sequence[HistoryRow]) -> None:
    """List the requests of the lost time that no job owns in ops.discrepancies."""
    if rows:
        await note(session, discrepancies=[about(DiscrepancyKind.NOT_OURS, row, None) for row in rows])
