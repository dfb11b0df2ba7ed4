"""Invariants of jobs. Each is one statement, which sees one snapshot of a running system.

Each counts the rows that it checked and returns the ids of wrong ones. They read whole tables, in order or by hash, and keep
nothing in this process: `job_events`, the largest table, is read twice, `jobs` some ten times, bodies never.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from app.core.database.session import ReadSession
from app.core.database.sql import Query, SqlFolder
from app.jobs.models import TRANSITIONS, State

LATE_SECONDS = 60
"""How long something that a sweep corrects may be wrong. Sweeps run every second to every 30 seconds."""
ARROWS = [
    *((item, other) for item, others in TRANSITIONS.items() for other in sorted(others)),
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
    Invariant("stored", 1, "{checked} accepted jobs have their input and first event", _SQL.query("stored", Counted)),
    Invariant(
        "path",
        1,
        "{checked} events have no gap, and each is an allowed transition",
        _SQL.query("path", Counted),
        {"from_states": [arrow for arrow, _ in ARROWS], "to_states": [other for _, other in ARROWS]},
    ),
    Invariant("last", 1, "{checked} jobs have the state of their last event", _SQL.query("last", Counted)),
    Invariant(
        "requests",
        1,
        "{checked} requests are exactly the accepted jobs, refusals and replays",
        _SQL.query("requests", Counted),
    ),
    Invariant("replays", 1, "{checked} replayed submits name a job of the same tenant", _SQL.query("replays", Counted)),
    Invariant(
        "live",
        2,
        "{checked} attempts are under way, each the latest of a job in state sending",
        _SQL.query("live", Counted),
    ),
    Invariant(
        "numbered", 2, "{checked} attempts are numbered 1 to n within their job", _SQL.query("numbered", Counted)
    ),
    Invariant(
        "at_most_once",
        2,
        "{checked} further attempts followed only attempts that provably did not arrive",
        _SQL.query("at_most_once", Counted),
    ),
    Invariant(
        "accepted",
        2,
        "{checked} accepted attempts have the upstream id of their job or are listed as second starts, and no job has another",
        _SQL.query("accepted", Counted),
    ),
    Invariant(
        "owned",
        2,
        "{checked} upstream ids belong to one job each; ids that were given twice are listed",
        _SQL.query("owned", Counted),
    ),
    Invariant(
        "sending",
        2,
        f"{{checked}} jobs are being sent, none by a worker without a heartbeat for {LATE_SECONDS} s",
        _SQL.query("sending", Counted),
    ),
    Invariant("unknown", 2, "{checked} jobs are unknown, none beyond its time limit", _SQL.query("unknown", Counted)),
    Invariant("final", 1, "{checked} ended jobs have finished_at and no claim", _SQL.query("final", Counted)),
    Invariant("due", 1, "{checked} unfinished jobs are due at a later time", _SQL.query("due", Counted)),
    Invariant(
        "poison",
        9,
        "{checked} jobs were claimed again after their worker died, none three times in a row",
        _SQL.query("poison", Counted),
    ),
    Invariant(
        "results",
        5,
        "{checked} COMPLETED jobs have their result, if it was not withdrawn",
        _SQL.query("results", Counted),
    ),
    Invariant("failures", 4, "{checked} FAILED jobs have their error", _SQL.query("failures", Counted)),
)
