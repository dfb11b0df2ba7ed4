"""Pure choices: whether a database may be older than what was sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.books.models import Doubt


@dataclass(frozen=True, slots=True)
class Known:
    """What one process knows of the books. `recoveries`: how many there had been by then. `beats`: its last heartbeat; None:
    it had none. `attempts`: the last ones that it opened, (job id, number). `ended`: it has stopped in order, and this is
    all that it ever knew. `at`: when it said so, in seconds since 1970, by its own clock."""

    books_id: UUID
    process_id: UUID
    recoveries: int = 0
    beats: int | None = None
    attempts: tuple[tuple[UUID, int], ...] = ()
    ended: bool = False
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a connection found. `server`: where it is; None: a standby. `stamped`: where the books were last complete; None:
    nobody has opened them yet. `missing`: things that somebody knows and that are not there. `waiting`: whether jobs wait
    to be sent. `alive`: whether other processes have written into them within a lease. `unaccounted`: whether a worker that
    was alive at the end has not stopped in order. `stopped`: whether a doubt stops sending already."""

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
"""A witness that did not end in order speaks for so long, counted back from the youngest: then its process is dead, and
those that came after it knew what it had known."""
WITNESS_SECONDS = 6 * 86_400.0
"""How long a witness is kept: heartbeats are forgotten after seven days."""


def speaking(witnesses: Sequence[Known]) -> list[Known]:
    """Those that still count."""
    youngest = max((one.at for one in witnesses), default=0.0)
    return [
        one
        for one in witnesses
        if one.at > youngest - (WITNESS_SECONDS if one.ended else min(UNENDED_SECONDS, WITNESS_SECONDS))
    ]


def doubt_of(found: Found, *, witnesses: Sequence[Known], first: bool, sends: bool) -> Doubt | None:
    """Whether sending must stop. `first`: this process has not seen the books before, and has `witnesses` in place of a
    memory. `sends`: whether it sends jobs.

    Moved books are taken where all who ever wrote into them have ended in order, and all that they knew is there: so it is
    after pg_upgrade, or a copy to another server while everything was stopped.
    """
    if found.missing or any(one.recoveries > found.recoveries for one in witnesses):
        return Doubt.OLDER
    vouching = [one for one in witnesses if one.recoveries == found.recoveries]
    if found.stamped is not None and found.stamped != found.server:
        complete = first and vouching and all(one.ended for one in vouching) and not found.unaccounted
        return None if complete else Doubt.MOVED
    known = bool(vouching) or found.alive or found.stamped is None
    return Doubt.UNVOUCHED if first and sends and found.waiting and not known else None
