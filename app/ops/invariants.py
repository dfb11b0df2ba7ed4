"""Invariants of jobs. Each is one statement, which sees one snapshot of a running system.

Each counts the rows that it checked and returns the ids of wrong ones. They read whole tables, in order or by hash, and keep
nothing in this process: `job_events`, the largest table, is read twice, `jobs` some ten times, bodies never.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from app.core.database.db import ReadSession
from app.core.database.sql import Query, SqlFolder
from app.jobs.models import TRANSITIONS, State

LATE_SECONDS = 60
"""How long something that a sweep corrects may be wrong. Sweeps run every second to every 30 seconds."""
ARROWS = [
    *((one, other) for one, others in TRANSITIONS.items() for other in sorted(others)),
    *((state, state) for state in (State.SENDING, State.UNKNOWN, State.RUNNING)),
]
"""The declared transitions, and events that do not change the state: a requested cancel, or progress at the upstream."""


class Counted(NamedTuple):
    """The number of checked things, the number of wrong ones, and the ids of the first ten wrong ones."""

    checked: int
    wrong: int
    examples: list[str]


@dataclass(frozen=True, slots=True)
class Invariant:
    """One invariant. `claim`: what holds; it contains `{checked}`. `guarantee`: its number in the list of guarantees. `query`:
    one statement, which sees one snapshot. `given`: values of its own parameters."""

    name: str
    guarantee: int
    claim: str
    query: Query[Counted]
    given: Mapping[str, object] = field(default_factory=dict)

    async def count(self, session: ReadSession, *, at: datetime | None = None) -> Counted:
        """Return what is wrong now, or was at `at`."""
        return await session.get_row(self.query, **self._given(at))

    def arguments(self, *, at: datetime | None = None) -> Iterable[object]:
        """Return the arguments in the order of the parameters."""
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
