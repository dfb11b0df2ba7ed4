"""What a lost ring, a dead worker or the passing of time leaves behind, found and put right."""

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
    """What a sweep saw."""

    queued_due: bool
    waiting_due: bool
    claimed: bool
    running_due: bool
    paused: bool
    probing: bool
    unfinished: bool
    lots_due: bool


class UnknownJob(NamedTuple):
    """A job that has just become unknown."""

    id: UUID
    model: str


_SQL = SqlFolder(__file__)
_EXPIRE_SENDING = _SQL.query("expire_sending", UnknownJob)
_EXPIRE_WAITING = _SQL.query("expire_waiting", EndedJob)
_RELEASE_EXPIRED_CLAIMS = _SQL.query("release_expired_claims", int)
_PROMOTE = _SQL.query("promote", int)
_GET_SWEEP_STATUS = _SQL.query("get_sweep_status", SweepStatus, parts={"lots_due": LOTS_DUE_PART})


async def get_sweep_status(session: Session) -> SweepStatus:
    """Is there work that nobody holds? One statement."""
    return await session.get_row(_GET_SWEEP_STATUS, no_limit=NO_LIMIT)


async def promote(session: Session) -> int:
    """Queued jobs whose time has come stand in line; gives how many, up to PROMOTED_MAX. One statement."""
    return await session.get_value(_PROMOTE, jobs_max=PROMOTED_MAX)


async def release_expired_claims(session: Session, *, lease_seconds: float) -> int:
    """Free queued jobs from claims that have run out; gives how many. One statement."""
    return await session.get_value(_RELEASE_EXPIRED_CLAIMS, lease_seconds=lease_seconds)


async def expire_sending(session: Session, *, unknown_max_seconds: float) -> list[UnknownJob]:
    """Sending jobs whose lease has run out become unknown; gives id and model of each. One statement."""
    return await session.rows(_EXPIRE_SENDING, jobs_max=BATCH_MAX, unknown_max_seconds=unknown_max_seconds)


async def expire_waiting(session: Session, *, lease_seconds: float) -> list[EndedJob]:
    """Unknown jobs past their limit, queued ones past their deadline and poisonous ones end; gives them. One
    statement where there are none."""
    ended = await session.rows(_EXPIRE_WAITING, jobs_max=BATCH_MAX, lease_seconds=lease_seconds)
    await end_jobs(session, ended=ended)
    return ended
