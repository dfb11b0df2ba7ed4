"""Heartbeats: a process records that it lives, and counts the living processes of its kind."""

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
    """A row of `beat.sql`: how many heartbeats the process sent before, and how many of its kind live."""

    beats: int
    living: int


_SQL = SqlFolder(__file__)
_BEAT = _SQL.query("beat", _Beat)
_STOP = _SQL.command("stop_beating")
_FORGET = _SQL.command("forget_dead")


async def beat(session: Session, *, process_id: UUID, kind: str, lease_seconds: float = 15.0) -> tuple[int, int]:
    """Record a heartbeat. Returns how many processes of the kind sent one within a lease, with this one, and how many this
    one sent before. One statement."""
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
    """Record that this process stops cleanly. One statement."""
    await session.run(_STOP, process_id=process_id)


async def forget_dead(session: Session) -> None:
    """Delete the rows of processes without a heartbeat for KEEP_DEAD_DAYS. One statement."""
    await session.run(_FORGET, days=KEEP_DEAD_DAYS)


def beat_seconds(lease_seconds: float) -> float:
    """Return the seconds between heartbeats: several within a lease; some 14,000 a day with a lease of 15 seconds."""
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
    """Send heartbeats until cancelled. If Postgres is unreachable, the missed heartbeat is only logged.

    `told`: called with the number of processes of the kind. `beaten`: called with the number of this one's earlier
    heartbeats. `schema`: checked each time, since it may change after a connection was opened.
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
