"""What must be true of the rows at every instant: one statement each, which sees one snapshot of a running system.

Each counts what it looked at and gives the ids of what is wrong. They read whole tables, in order or by hash, and keep
nothing in memory here: `job_events`, the largest, is read twice, `jobs` some ten times, bodies never.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from app.core.database.session import ReadSession
from app.core.database.sql import Query, SqlFolder
from app.jobs.models import TRANSITIONS, State

LATE_SECONDS = 60
"""What a sweep puts right may be wrong for so long: sweeps come every second, and at most every 30."""
ARROWS = [
    *((one, other) for one, others in TRANSITIONS.items() for other in sorted(others)),
    *((state, state) for state in (State.SENDING, State.UNKNOWN, State.RUNNING)),
]
"""The declared transitions, and events that change no state: a cancel asked for, the upstream's progress."""


class Counted(NamedTuple):
    """How many things were looked at, of how many the claim does not hold, and the ids of the first ten of these."""

    checked: int
    wrong: int
    examples: list[str]


@dataclass(frozen=True, slots=True)
class Invariant:
    """`claim`: what holds, with `{checked}` in it. `guarantee`: its number in the list of guarantees. `query`: one statement,
    which sees one snapshot. `given`: values of parameters that it alone has."""

    name: str
    guarantee: int
    claim: str
    query: Query[Counted]
    given: Mapping[str, object] = field(default_factory=dict)

    async def count(self, session: ReadSession, *, at: datetime | None = None) -> Counted:
        """What is wrong now, or was at that instant."""
        return await session.get_row(self.query, **self._given(at))

    def arguments(self, *, at: datetime | None = None) -> Iterable[object]:
        """Of the statement, in the order of its parameters."""
        return self.query.arguments(self._given(at))

    def _given(self, at: datetime | None) -> dict[str, object]:
        known = {"at": at, "late_seconds": LATE_SECONDS, **self.given}
        return {name: known[name] for name in self.query.parameters}


_SQL = SqlFolder(__file__)

OF_JOBS = (
    Invariant(
        "stored", 1, "{checked} accepted jobs have their input and their first event", _SQL.query("stored", Counted)
    ),
    Invariant(
        "path",
        1,
        "{checked} events have no gap, and each is an arrow of the life cycle",
        _SQL.query("path", Counted),
        {"from_states": [one for one, _ in ARROWS], "to_states": [other for _, other in ARROWS]},
    ),
    Invariant("last", 1, "{checked} jobs are where their last event says", _SQL.query("last", Counted)),
    Invariant(
        "requests",
        1,
        "{checked} requests are shown: accepted jobs, refusals and replays, no more and no fewer",
        _SQL.query("requests", Counted),
    ),
    Invariant("replays", 1, "{checked} replayed submits name a job of the same tenant", _SQL.query("replays", Counted)),
    Invariant(
        "live",
        2,
        "{checked} attempts are on the wire, each the latest of a job that is being sent",
        _SQL.query("live", Counted),
    ),
    Invariant("numbered", 2, "{checked} attempts are numbered 1 to n of their job", _SQL.query("numbered", Counted)),
    Invariant(
        "at_most_once",
        2,
        "{checked} further attempts came only after ones that provably did not get there",
        _SQL.query("at_most_once", Counted),
    ),
    Invariant(
        "accepted",
        2,
        "{checked} accepted attempts gave their job its upstream id, and no job has another",
        _SQL.query("accepted", Counted),
    ),
    Invariant(
        "owned",
        2,
        "{checked} upstream ids belong to one job each; those given twice are listed",
        _SQL.query("owned", Counted),
    ),
    Invariant(
        "sending",
        2,
        f"{{checked}} jobs are being sent, none by a worker silent for {LATE_SECONDS} s",
        _SQL.query("sending", Counted),
    ),
    Invariant("unknown", 2, "{checked} jobs are unknown, none beyond its limit", _SQL.query("unknown", Counted)),
    Invariant(
        "final", 1, "{checked} ended jobs have their instant and are in nobody's hands", _SQL.query("final", Counted)
    ),
    Invariant("due", 1, "{checked} unfinished jobs will be looked at again", _SQL.query("due", Counted)),
    Invariant(
        "poison",
        9,
        "{checked} jobs have been taken over from a dead worker, none three times",
        _SQL.query("poison", Counted),
    ),
    Invariant("results", 5, "{checked} COMPLETED jobs have their result", _SQL.query("results", Counted)),
    Invariant("failures", 4, "{checked} FAILED jobs say why", _SQL.query("failures", Counted)),
)
