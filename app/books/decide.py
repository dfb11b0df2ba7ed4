"""Pure decisions: whether a database may be older than what was sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.books.models import Doubt


@dataclass(frozen=True, slots=True)
class ProcessKnowledge:
    """What one process knows of the database. `recoveries`: how many there were at that time. `beats`: number of its last
    heartbeat; None: it had none. `attempts`: the last ones that it opened, (job id, number). `ended`: it has stopped
    normally, and this is complete. `at`: when it was written, in seconds since 1970, by the clock of the process."""

    books_id: UUID
    process_id: UUID
    recoveries: int = 0
    beats: int | None = None
    attempts: tuple[tuple[UUID, int], ...] = ()
    ended: bool = False
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a connection found. `server`: the present server; None: a standby. `stamped`: the server where the database was
    last complete; None: no process has opened it yet. `missing`: number of known facts that it lacks. `waiting`: whether jobs
    wait to be sent. `alive`: whether other processes had a heartbeat within a lease. `unaccounted`: whether a worker that was
    alive at the last heartbeat has not stopped normally. `stopped`: whether a doubt stops sending already."""

    books_id: UUID | None
    server: str | None
    stamped: str | None
    recoveries: int
    doubt: Doubt | None
    stopped: bool
    missing: int
    waiting: bool
    alive: bool
    unaccounted: bool
    now: datetime

    def __post_init__(self) -> None:
        if self.doubt is not None:
            object.__setattr__(self, "doubt", Doubt(self.doubt))


UNENDED_SECONDS = 3600.0
"""How long before the newest witness one counts whose process did not end normally. An older one is of a dead process, and
later processes knew what it knew."""
WITNESS_SECONDS = 6 * 86_400.0
"""How long a witness is kept. It is less than the seven days after which heartbeats are deleted."""


def speaking(witnesses: Sequence[ProcessKnowledge]) -> list[ProcessKnowledge]:
    """The witnesses that still count."""
    youngest = max((witness.at for witness in witnesses), default=0.0)
    return [
        witness
        for witness in witnesses
        if witness.at > youngest - (WITNESS_SECONDS if witness.ended else min(UNENDED_SECONDS, WITNESS_SECONDS))
    ]


def doubt_of(found: Found, *, witnesses: Sequence[ProcessKnowledge], first: bool, sends: bool) -> Doubt | None:
    """Returns why sending must stop, or None. `first`: this process has not seen the database before, and has only
    `witnesses`. `sends`: whether it sends jobs.

    A moved database is accepted if all processes that wrote to it have ended normally and nothing that they knew is missing:
    for example after pg_upgrade, or a copy to another server while everything was stopped.
    """
    if found.missing or any(witness.recoveries > found.recoveries for witness in witnesses):
        return Doubt.OLDER
    vouching = [witness for witness in witnesses if witness.recoveries == found.recoveries]
    if found.stamped is not None and found.stamped != found.server:
        complete = first and vouching and all(knowledge.ended for knowledge in vouching) and not found.unaccounted
        return None if complete else Doubt.MOVED
    known = bool(vouching) or found.alive or found.stamped is None
    return Doubt.UNVOUCHED if first and sends and found.waiting and not known else None
