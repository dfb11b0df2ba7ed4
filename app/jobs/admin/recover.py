"""The recovery after a restore or failover of the database: jobs that may have been sent in the lost time become unknown.

All writes are in steps of at most BATCH_MAX jobs, and may be repeated from the start.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder
from app.jobs.admin.pausing import put_back
from app.jobs.queries import read_clock
from app.pace.models import What
from app.pace.pauses.operations import lift_pause, lock_pauses, set_pause
from app.pace.pauses.queries import Pause, find_pause

BATCH_MAX = 2_000
MARK = "waystation recover"
"""`paused_by` of the recovery's own pause. An earlier pause remains after the recovery."""
RECOVERER = UUID(int=0x7EC0)
"""`worker` of the attempts that the recovery creates."""
FENCE_STEP = 1_000_000
"""Fences went back with the database. This raises them above those of the lost time."""
CLOCK_SECONDS = 300.0
"""A job that is due later than this from now cannot have been sent, by the clock of either server."""


@dataclass(frozen=True, slots=True)
class Left:
    """How many jobs are queued, and how many are unknown."""

    queued: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A job that may have been sent in the lost time. `made_up`: the recovery created its attempt. Otherwise a worker did, and
    the job may also have been sent before."""

    id: UUID
    tenant_id: UUID
    attempt: int
    model: str
    created_at: datetime
    body: bytes
    made_up: bool


_SQL = SqlFolder(__file__)
_FORGET_QUEUED = _SQL.query("forget_queued", int)
_FORGET_SENDING = _SQL.query("forget_sending", int)
_FREE_RUNNING = _SQL.query("free_running", UUID)
_COUNT_LEFT = _SQL.query("count_left", Left)
_LIST_FORGOTTEN = _SQL.query("list_forgotten", Forgotten)


async def begin_recovery(session: Session) -> tuple[Pause, datetime]:
    """Pause submits, unless everything is paused already. Returns the pause, and the database's time: no job accepted after it
    can have been sent in the lost time."""
    await lock_pauses(session)
    pause = await find_pause(session, tenant_id=None, model=None)
    if pause is None:
        pause = await set_pause(
            session, tenant_id=None, model=None, what=What.SUBMITS, paused_by=MARK, note="recovery of the database"
        )
    return pause, await read_clock(session)


async def forget_queued(session: Session, *, before: datetime, unknown_max_seconds: float) -> int:
    """Make queued jobs unknown that may have been sent. Returns how many, up to BATCH_MAX. One statement."""
    return await session.get_value(
        _FORGET_QUEUED, before=before, clock_seconds=CLOCK_SECONDS, jobs_max=BATCH_MAX, fence_step=FENCE_STEP,
        unknown_max_seconds=unknown_max_seconds, worker=RECOVERER,
    )  # fmt: skip


async def forget_sending(session: Session, *, before: datetime, unknown_max_seconds: float) -> int:
    """Make jobs in state sending unknown. Returns how many, up to BATCH_MAX. One statement."""
    return await session.get_value(
        _FORGET_SENDING,
        before=before,
        jobs_max=BATCH_MAX,
        fence_step=FENCE_STEP,
        unknown_max_seconds=unknown_max_seconds,
    )


async def free_running(session: Session, *, before: datetime, after: UUID) -> list[UUID]:
    """Release the claims of running jobs with an id above `after`, and raise the fences. Returns their ids, the highest first."""
    return await session.values(_FREE_RUNNING, before=before, after=after, jobs_max=BATCH_MAX, fence_step=FENCE_STEP)


async def count_left(session: ReadSession) -> Left:
    """Return how many jobs are queued and unknown now. Scans the unfinished jobs."""
    return await session.get_row(_COUNT_LEFT)


async def list_forgotten(session: ReadSession, *, since: datetime) -> list[Forgotten]:
    """Return all unknown jobs with their inputs, and which of them `forget_queued` has made unknown since then."""
    return await session.rows(_LIST_FORGOTTEN, recoverer=RECOVERER, since=since)


async def end_recovery(session: Session) -> Pause | None:
    """Lift the recovery's own pause. Returns the pause that remains if everything was paused before, else None."""
    await lock_pauses(session)
    pause = await find_pause(session, tenant_id=None, model=None)
    if pause is not None and pause.paused_by == MARK:
        await lift_pause(session, tenant_id=None, model=None)
        await put_back(session)
        return None
    return pause
