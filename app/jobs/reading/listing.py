"""A tenant's list of jobs, newest first. With any filter, a page reads a bounded number of rows.

One filter is chosen as the way: an index in the order of the list finds its jobs. The other filters are checked on these jobs. If
several filters have an index, the one with the fewest jobs is chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.jobs.models import FINAL, State
from app.jobs.rows import ShownJob

SCAN_MAX = 5_000
"""At most this many jobs are examined for one page. The next page continues there, even if this page is not full."""
COUNT_MAX = 1_000
"""A filter's jobs are counted up to this number, to choose the way."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which of a tenant's jobs are wanted. All bounds are exclusive; None: no bound. `after`: the cursor."""

    after: UUID | None
    states: list[str] | None
    model: str | None
    created_after: datetime | None
    created_before: datetime | None
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """The jobs of a page, at most `limit`. `scanned_to`: the last examined job if the scan stopped early, else None."""

    rows: list[ShownJob]
    scanned_to: UUID | None


class Way(StrEnum):
    """The index that finds the jobs."""

    ALL = "all"
    METADATA = "metadata"
    MODEL = "model"
    FINISHED = "finished"
    QUEUED = "queued"
    IN_FLIGHT = "in_flight"


@dataclass(frozen=True, slots=True)
class _PageRow(ShownJob):
    """A job of a page; or only `scanned_to`, the last examined job."""

    scanned_to: UUID | None


class _Counts(NamedTuple):
    """The number of jobs of each filter, up to COUNT_MAX. None: not requested."""

    metadata: list[int]
    finished: int | None
    model: int | None
    queued: int
    in_flight: int


_SQL = SqlFolder(__file__)
_PAGES = {
    Way.ALL: _SQL.query("list_jobs", _PageRow),
    Way.METADATA: _SQL.query("list_jobs_by_metadata", _PageRow),
    Way.MODEL: _SQL.query("list_jobs_of_model", _PageRow),
    Way.FINISHED: _SQL.query("list_finished_jobs", _PageRow),
    Way.QUEUED: _SQL.query("list_queued_jobs", _PageRow),
    Way.IN_FLIGHT: _SQL.query("list_jobs_in_flight", _PageRow),
}
_COUNT_JOBS = _SQL.query("count_jobs", _Counts)


def ways_of(wanted: JobFilter) -> list[Way]:
    """Return the ways that these filters allow. One for each member of metadata comes first."""
    ways = [Way.METADATA] * len(wanted.metadata)
    if wanted.states is not None:
        ways.append(way_of_states(wanted.states))
    if wanted.model is not None:
        ways.append(Way.MODEL)
    return ways


def way_of_states(states: Sequence[str]) -> Way:
    """Return the way to the jobs in the states of one status."""
    if states == [State.QUEUED]:
        return Way.QUEUED
    return Way.FINISHED if State(states[0]) in FINAL else Way.IN_FLIGHT


def choose_way(ways: Sequence[Way], counts: Sequence[int]) -> int:
    """Return the index of the way with the fewest jobs, the first of equals."""
    return min(range(len(ways)), key=counts.__getitem__)


async def list_jobs(session: ReadSession, *, tenant_id: UUID, wanted: JobFilter, limit: int) -> Found:
    """Return a page of a tenant's jobs, newest first, without bodies. One statement, or two with several filters."""
    ways = ways_of(wanted)
    way = Way.ALL
    if ways:
        place = 0 if len(ways) == 1 else choose_way(ways, await _count(session, tenant_id, wanted, ways))
        way = ways[place]
        if way is Way.METADATA:
            wanted = replace(wanted, metadata=_led_by(wanted.metadata, place))
    # if all jobs of the way are wanted, no more of them than the page need be read
    exact = len(ways) < 2 and way is not Way.METADATA
    rows = await session.rows(
        _PAGES[way], tenant_id=tenant_id, after=wanted.after, created_before=wanted.created_before,
        created_after=wanted.created_after, states=wanted.states, model=wanted.model, keys=list(wanted.metadata.keys()),
        values=list(wanted.metadata.values()), scan_max=limit if exact else SCAN_MAX, limit=limit,
    )  # fmt: skip
    jobs: list[ShownJob] = [row for row in rows if row.id is not None]
    return Found(jobs, next((row.scanned_to for row in rows if row.id is None), None))


async def _count(session: ReadSession, tenant_id: UUID, wanted: JobFilter, ways: Sequence[Way]) -> list[int]:
    counts = await session.get_row(
        _COUNT_JOBS, tenant_id=tenant_id, keys=list(wanted.metadata.keys()), values=list(wanted.metadata.values()),
        final_state=wanted.states[0] if Way.FINISHED in ways and wanted.states else None, model=wanted.model,
        count_max=COUNT_MAX,
    )  # fmt: skip
    members = iter(counts.metadata)
    return [next(members) if way is Way.METADATA else getattr(counts, way) or 0 for way in ways]


def _led_by(metadata: dict[str, str], place: int) -> dict[str, str]:
    """The same members with the one at `place` first."""
    led = list(metadata.items())
    return dict([led[place], *led[:place], *led[place + 1 :]])
