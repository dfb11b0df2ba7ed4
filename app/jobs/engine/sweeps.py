"""The statements of a sweep: find and repair what lost notifications, dead workers and deadlines leave behind."""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.jobs.endings import EndedJob, end_jobs
from app.jobs.estimates.line import NO_LIMIT
from app.ledger.queries import LOTS_DUE_PART

BATCH_MAX = 500
PROMOTED_MAX = 5_000


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """What a sweep found. queued_due: jobs may be sent. waiting_due: jobs become ready now. lots_due: credits expire."""

    queued_due: bool
    waiting_due: bool
    claimed: bool
    running_due: bool
    paused: bool
    probing: bool
    unfinished: bool
    lots_due: bool


class UnknownJob(NamedTuple):
    """A job that became unknown in this sweep."""

    id: UUID
    model: str


_SQL = SqlFolder(__file__)
_EXPIRE_SENDING = _SQL.query("expire_sending", UnknownJob)
_EXPIRE_WAITING = _SQL.query("expire_waiting", EndedJob)
_RELEASE_EXPIRED_CLAIMS = _SQL.query("release_expired_claims", int)
_PROMOTE = _SQL.query("promote", int)
_GET_SWEEP_STATUS = _SQL.query("get_sweep_status", SweepStatus, parts={"lots_due": LOTS_DUE_PART})


async def get_sweep_status(session: Session) -> SweepStatus:
    """Return which kinds of work wait. One statement."""
    return await session.get_row(_GET_SWEEP_STATUS, no_limit=NO_LIMIT)


async def promote(session: Session) -> int:
    """Make queued jobs ready whose time has come. Returns how many, at most PROMOTED_MAX. One statement."""
    return await session.get_value(_PROMOTE, jobs_max=PROMOTED_MAX)


async def release_expired_claims(session: Session, *, lease_seconds: float) -> int:
    """Release claims of queued jobs whose leases have expired. Returns how many. One statement."""
    return await session.get_value(_RELEASE_EXPIRED_CLAIMS, lease_seconds=lease_seconds)


async def expire_sending(session: Session, *, unknown_max_seconds: float) -> list[UnknownJob]:
    """Make sending jobs unknown whose leases have expired. Returns id and model of each. One statement."""
    return await session.rows(_EXPIRE_SENDING, jobs_max=BATCH_MAX, unknown_max_seconds=unknown_max_seconds)


async def expire_waiting(session: Session, *, lease_seconds: float) -> list[EndedJob]:
    """End unknown jobs after their time limit, queued jobs after their deadline, and poisonous jobs. Returns them. One statement if
    there are none."""
    ended = await session.rows(_EXPIRE_WAITING, jobs_max=BATCH_MAX, lease_seconds=lease_seconds)
    await end_jobs(session, ended=ended)
    return ended
