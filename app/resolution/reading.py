"""One read of the history, from its newest row back, and what it shows about our requests."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from app.core.database.db import Database
from app.core.database.session import ReadSession
from app.probe.queries import list_owned
from app.resolution.absence import Read, Sent, clock_offset
from app.resolution.matching.fitting import CLOCKS
from app.resolution.queries import OurRequest, list_missed, list_ours
from app.upstream.history import HistoryClient
from app.upstream.history_rows import HistoryPage, HistoryRow

PAGES_MAX: Final = 2_000
"""A read ends after so many pages: attempts farther back are not resolved by it."""
AHEAD: Final = timedelta(days=1)
"""The upstream's clock may be in the next day already."""
PAIRS_MAX: Final = 1_000
"""So many rows of our own requests show how far the upstream's clock is off."""


@dataclass(slots=True)
class Reading:
    """What a read has found. All instants are by our clock.

    orphans: rows of requests that no job has, by upstream id; several for several outputs. reached: how far back it went. missed:
    our requests that it did not have although they are old enough to count as late; found: those missed before that it had.
    lag_seconds: how old the oldest request of ours was that it did not have, None if it had all.
    """

    began_at: datetime
    reached: datetime
    offset: timedelta
    orphans: dict[str, list[HistoryRow]]
    ours: list[OurRequest]
    seen: set[str]
    missed: list[OurRequest]
    found: list[str]
    lag_seconds: float | None

    def evidence(self, unplaced: Sequence[tuple[str | None, datetime | None]]) -> Read:
        """What it proves about attempts without a request. `unplaced`: as Read takes it."""
        ours = [Sent(one.sent_at, one.upstream_id in self.seen) for one in self.ours]
        return Read(began_at=self.began_at, reached=self.reached, ours=ours, unplaced=unplaced)


@dataclass(slots=True)
class _Pages:
    """Rows that no job has, the ids of all rows, some instants of rows that a job has, and the oldest instant."""

    orphans: dict[str, list[HistoryRow]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    accepted: dict[str, datetime] = field(default_factory=dict)
    oldest: datetime | None = None

    def add(self, page: HistoryPage, owned: set[str]) -> None:
        for row in page.rows:
            self.seen.add(row.upstream_id)
            if row.created_at is not None:
                self.oldest = row.created_at if self.oldest is None else min(self.oldest, row.created_at)
            if row.upstream_id in owned:
                if row.created_at is not None and len(self.accepted) < PAIRS_MAX:
                    self.accepted[row.upstream_id] = row.created_at
                continue
            kept = self.orphans.setdefault(row.upstream_id, [])
            if row not in kept:
                kept.append(row)


async def read_history(
    database: Database,
    history: HistoryClient,
    *,
    since: datetime,
    now: datetime,
    offset: timedelta,
    late_seconds: float,
) -> Reading:
    """Read back to `since`. `offset`: how far the upstream's clock is ahead, as the last read has shown. `late_seconds`: the age from
    which a missing request of ours counts as late.

    A request counts as an orphan if no job had it when its page was read; `drop_owned` leaves out those that have an owner since.
    Raises NotRead, StoreUnavailable.
    """
    pages, number = _Pages(), 0
    async for page in history.read_newest(since=since + offset, until=now + offset + AHEAD):
        async with database.snapshot() as snapshot:
            owned = await list_owned(snapshot, upstream_ids=[row.upstream_id for row in page.rows])
        pages.add(page, owned)
        number += 1
        if not page.more:
            pages.oldest = min(since + offset, pages.oldest or now + offset)
        if number >= PAGES_MAX:
            break
    reached = now if pages.oldest is None else pages.oldest - offset
    async with database.snapshot() as snapshot:
        ours = await list_ours(snapshot, since=reached - 2 * CLOCKS, until=now)
        missed_before = await list_missed(snapshot)
    known = clock_offset(
        [(one.sent_at, pages.accepted[one.upstream_id]) for one in ours if one.upstream_id in pages.accepted]
    )
    reached -= known - offset
    absent = [one for one in ours if one.upstream_id not in pages.seen and one.sent_at >= reached]
    return Reading(
        began_at=now,
        reached=reached,
        offset=known,
        orphans={key: [_by_our_clock(row, known) for row in rows] for key, rows in pages.orphans.items()},
        ours=ours,
        seen=pages.seen,
        missed=[one for one in absent if (now - one.sent_at).total_seconds() >= late_seconds],
        found=sorted(missed_before & pages.seen),
        lag_seconds=max(((now - one.sent_at).total_seconds() for one in absent), default=None),
    )


async def drop_owned(session: ReadSession, reading: Reading) -> None:
    """Leave out orphans that have got an owner. Call it after the attempts were listed: so each orphan's attempt is listed, too."""
    owned = await list_owned(session, upstream_ids=list(reading.orphans))
    reading.orphans = {key: rows for key, rows in reading.orphans.items() if key not in owned}


def _by_our_clock(row: HistoryRow, offset: timedelta) -> HistoryRow:
    return row if row.created_at is None else replace(row, created_at=row.created_at - offset)
