"""Live processes: which of them believe they are alive, and until when to believe them."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from app.core.database.db import Database
from app.core.database.schema import SchemaGate
from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.core.errors import StoreUnavailable
from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger

log = get_logger(__name__)

KEEP_DEAD_DAYS = 7


class _Beat(NamedTuple):
    """As `beat.sql` gives it: how often the process has said so before, and how many of its kind live."""

    beats: int
    living: int


_SQL = SqlFolder(__file__)
_BEAT = _SQL.query("beat", _Beat)
_STOP = _SQL.command("stop_beating")
_FORGET = _SQL.command("forget_dead")


async def beat(session: Session, *, process_id: UUID, kind: str, lease_seconds: float = 15.0) -> tuple[int, int]:
    """Say that this process lives; gives how many of its kind have said so within a lease, itself too, and how often this
    one has said so before. One statement."""
    found = await session.get_row(
        _BEAT,
        process_id=process_id,
        kind=kind,
        host=socket.gethostname(),
        pid=os.getpid(),
        lease_seconds=lease_seconds,
    )
    return found.living, found.beats


async def stop_beating(session: Session, *, process_id: UUID) -> None:
    """Say that this process ends in order. One statement."""
    await session.run(_STOP, process_id=process_id)


async def forget_dead(session: Session) -> None:
    """Drop the rows of processes that have not been heard of for days. One statement."""
    await session.run(_FORGET, days=KEEP_DEAD_DAYS)


def beat_seconds(lease_seconds: float) -> float:
    """How often a process says that it lives: often enough for a lease, and at most some 14,000 times a day."""
    return lease_seconds / 2.5


async def beating(
    database: Database,
    *,
    process_id: UUID,
    kind: str,
    lease_seconds: float,
    told: Callable[[int], None] | None = None,
    schema: SchemaGate | None = None,
    beaten: Callable[[int], None] | None = None,
) -> None:
    """Beat until cancelled, `told` how many of the kind there are, and `beaten` how often this one has beaten; misses while
    Postgres is away are only noted.

    `schema`: looked at each time, since a connection may be older than the schema it finds.
    """
    missed = Outage(log, begun="heartbeat.missed", over="heartbeat.resumed")
    while True:
        try:
            async with database.statement() as session:
                living, beats = await beat(session, process_id=process_id, kind=kind, lease_seconds=lease_seconds)
            if told is not None:
                told(living)
            if beaten is not None:
                beaten(beats)
            missed.passed()
            if schema is not None:
                async with database.snapshot() as session:
                    await schema.check(session)
        except StoreUnavailable as error:
            missed.met(cause=repr(error.__cause__))
        await asyncio.sleep(beat_seconds(lease_seconds))
