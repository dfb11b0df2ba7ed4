"""Record a request that the history shows after its attempt was resolved in another way."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.jobs.claiming.records import observe_upstream_id
from app.jobs.models import FINAL, Resolution, State
from app.jobs.unknown.adopting import Adoption, adopt_attempts, lock_requests
from app.ledger.corrections import recount_usage
from app.ledger.models import ExposureReason
from app.ledger.settling import Exposure, correct_exposure, expose


@dataclass(frozen=True, slots=True)
class _LateAttempt:
    """A row of `find_late_attempt.sql`."""

    id: UUID
    tenant_id: UUID
    key_id: UUID | None
    model: str
    state: str
    last_attempt: int
    resolution: str | None
    held_micro: int
    finished_at: datetime | None
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class LateRequest:
    """What the history shows: the attempt's request, its result in the upstream's shape if it completed, and its cost if known."""

    job_id: UUID
    attempt: int
    upstream_id: str
    body: bytes | None
    cost_micro: int | None


_SQL = SqlFolder(__file__)
_FIND_LATE_ATTEMPT = _SQL.query("find_late_attempt", _LateAttempt)
_TAKE_BACK_RESUBMIT = _SQL.query("take_back_resubmit", UUID)
_SETTLE_LATE_ATTEMPT = _SQL.command("settle_late_attempt")
_NOTE_LATE_REQUEST = _SQL.command("note_late_request")


async def take_back_resubmit(session: Session, *, late: LateRequest) -> bool:
    """Let a job that waits to be sent once more run with its first request, which has appeared. Returns whether it was so."""
    asked = Adoption(late.job_id, late.attempt, late.upstream_id)
    await lock_requests(session, upstream_ids=[late.upstream_id])
    if await session.find_value(_TAKE_BACK_RESUBMIT, **columns_of(Adoption, [asked])) is None:
        return False
    return bool(await adopt_attempts(session, adoptions=[asked], resolution=Resolution.ADOPTED))


async def note_late_request(session: Session, *, late: LateRequest, worker: UUID) -> Resolution | None:
    """Record the request. Status and charge of an ended job stay, there is no second webhook, and the cost is exposure. If the job
    is sent again, or its result was withdrawn, the request is a second start. Returns how the attempt had been resolved; None:
    nothing was to be done."""
    asked = Adoption(late.job_id, late.attempt, late.upstream_id)
    await lock_requests(session, upstream_ids=[late.upstream_id])
    job = await session.find_row(
        _FIND_LATE_ATTEMPT, job_id=[asked.job_id], attempt=[asked.attempt], upstream_id=[asked.upstream_id]
    )
    if job is None:
        return None
    await session.run(_SETTLE_LATE_ATTEMPT, job_id=late.job_id, attempt=late.attempt, upstream_id=late.upstream_id)
    resolution = Resolution.TIMED_OUT if job.resolution is None else Resolution(job.resolution)
    if job.last_attempt != late.attempt or State(job.state) not in FINAL or job.withdrawn:
        await observe_upstream_id(
            session, job_id=late.job_id, attempt=late.attempt, upstream_id=late.upstream_id, worker=worker
        )
        cost = job.held_micro if late.cost_micro is None else late.cost_micro
        again = Exposure(late.job_id, job.tenant_id, ExposureReason.SECOND_START, cost, late.upstream_id)
        await expose(session, exposures=[again])
        return resolution
    body = late.body if job.state == State.FAILED else None
    await session.run(
        _NOTE_LATE_REQUEST, job_id=late.job_id, upstream_id=late.upstream_id, body=body, cost_micro=late.cost_micro
    )
    if late.cost_micro is not None:
        assert job.finished_at is not None
        await recount_usage(
            session, tenant_id=job.tenant_id, key_id=job.key_id, model=job.model, ended_at=job.finished_at, returned_micro=0,
            cost_micro=late.cost_micro,
        )  # fmt: skip
        await correct_exposure(
            session,
            job_id=late.job_id,
            tenant_id=job.tenant_id,
            upstream_id=late.upstream_id,
            true_micro=late.cost_micro,
        )
    return resolution
