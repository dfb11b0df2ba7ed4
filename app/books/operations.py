"""Read the database identity, pause submits if it is in doubt, and end a doubt."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.books.decide import Found, ProcessKnowledge
from app.books.models import WORDS, Doubt
from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder, columns_of
from app.jobs.admin.pausing import put_back
from app.pace.pauses.operations import lock_pauses

MARK = "waystation"
"""`paused_by` of the pause of a doubt. A pause that existed before keeps its own name, and stays after the doubt."""
RECENT_SECONDS = 60.0
"""A worker counts as alive at the end if its last heartbeat is at most this long before the last heartbeat of all."""

LOST_DAYS_MAX = 7


class _Remembered(NamedTuple):
    """An input row of `find_books.sql`: the last heartbeat of a process, and one attempt that it opened."""

    books_id: UUID
    known_process_id: UUID
    recoveries: int
    beats: int | None
    job_id: UUID | None
    attempt: int | None


@dataclass(frozen=True, slots=True)
class LostTime:
    """`last_at`: the last heartbeat of a process in the database before the doubt. `doubted_at`: `now` if there is no doubt."""

    last_at: datetime
    doubted_at: datetime
    now: datetime


_SQL = SqlFolder(__file__)
_FIND_BOOKS = _SQL.query("find_books", Found)
_ADOPT_BOOKS = _SQL.query("adopt_books", UUID)
_DOUBT_BOOKS = _SQL.command("doubt_books")
_PAUSE_SUBMITS = _SQL.command("pause_submits")
_LIFT_OWN_PAUSE = _SQL.command("lift_own_pause")
_KEEP_PAUSE = _SQL.command("keep_pause")
_SETTLE_BOOKS = _SQL.command("settle_books")
_FIND_DOUBT = _SQL.query("find_doubt", str)
_TAKE_OVER_PAUSE = _SQL.command("take_over_pause")
_FIND_LOST_TIME = _SQL.query("find_lost_time", LostTime)
_VOUCH = _SQL.command("vouch")
_ARE_BOOKS_VOUCHED_FOR = _SQL.query("are_books_vouched_for", bool)


async def find_books(
    session: ReadSession, *, process_id: UUID, lease_seconds: float, known: Sequence[ProcessKnowledge]
) -> Found:
    """Read the database identity, and compare the database with what is `known`. One statement."""
    remembered = [
        _Remembered(one.books_id, one.process_id, one.recoveries, one.beats, *attempt)
        for one in known
        for attempt in (one.attempts or [(None, None)])
    ]
    return await session.get_row(
        _FIND_BOOKS, process_id=process_id, lease_seconds=lease_seconds, recent_seconds=RECENT_SECONDS,
        **columns_of(_Remembered, remembered),
    )  # fmt: skip


async def adopt_books(session: Session, *, books_id: UUID) -> UUID | None:
    """Store that the database is complete on the present server. Returns its id; `books_id` becomes it if it had none. None: it
    is in doubt meanwhile. One statement."""
    return await session.find_value(_ADOPT_BOOKS, books_id=books_id)


async def stop_sending(session: Session, *, doubt: Doubt) -> None:
    """Pause submits of everything until the doubt is over. An existing pause of everything gets the reason `restored`."""
    await lock_pauses(session)
    await session.run(_DOUBT_BOOKS, doubt=doubt)
    note = f"the database may be older than what was sent: {WORDS[doubt]}; run `waystation recover`"
    await session.run(_PAUSE_SUBMITS, paused_by=MARK, note=note)


async def vouch(session: Session, *, process_id: UUID) -> None:
    """Store that this process has found everything that it wrote. One statement."""
    await session.run(_VOUCH, process_id=process_id)


async def settle_if_vouched(session: Session, *, process_id: UUID, lease_seconds: float) -> bool:
    """End the doubt if it is `moved` and every worker has vouched. Returns whether it ended. The caller has vouched."""
    await lock_pauses(session)
    if not await session.find_value(
        _ARE_BOOKS_VOUCHED_FOR, process_id=process_id, lease_seconds=lease_seconds, recent_seconds=RECENT_SECONDS
    ):
        return False
    await settle(session)
    return True


async def settle(session: Session, *, recovered: bool = False) -> None:
    """End the doubt: the database counts as complete on the present server. `recovered`: after a recovery, which set jobs that
    may have been sent to unknown; what processes knew before it no longer counts."""
    await lock_pauses(session)
    await session.run(_SETTLE_BOOKS, recoveries=int(recovered))
    await session.run(_LIFT_OWN_PAUSE, paused_by=MARK)
    await session.run(_KEEP_PAUSE)
    await put_back(session)


async def take_over_pause(session: Session, *, by: str) -> None:
    """Set `paused_by` of the doubt's own pause to the operator `by`, so that it stays after the doubt. One statement."""
    await session.run(_TAKE_OVER_PAUSE, by=by, paused_by=MARK)


async def find_lost_time(session: ReadSession) -> LostTime:
    """Find the time in which jobs may have been sent that the database does not have. One statement."""
    return await session.get_row(_FIND_LOST_TIME, days=LOST_DAYS_MAX)


async def find_doubt(session: ReadSession) -> Doubt | None:
    """Returns why sending is stopped, or None. One statement."""
    doubt = await session.find_value(_FIND_DOUBT)
    return None if doubt is None else Doubt(doubt)
