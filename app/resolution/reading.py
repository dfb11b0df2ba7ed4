"""One read of the history, from its newest row back, and what it shows about our requests."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from app.core.database.db import Database
from app.probe.queries import list_owned
from app.resolution.absence import Read, Sent, clock_offset
from app.resolution.queries import OurRequest, list_missed, list_ours
from app.upstream.history import HistoryClient
from app.upstream.history_rows import HistoryRow

PAGES_MAX: Final = 400
"""A read ends after so many pages: attempts farther back are not resolved by it."""
AHEAD: Final = timedelta(days=1)
"""The upstream's clock may be in the next day already."""


@dataclass(slots=True)
class Reading:
    """What a read has found. All instants are by our clock.

    orphans: rows of requests that no job has, by upstream id; several for several outputs. reached: how far back it went. missed:
    our requests that it did not have although they are old enough to count as late; found: those missed before that it had.
    lag_seconds: how old the newest request of ours was that it did not have, None if it had all.
    """

    began_at: datetime
    reached: datetime
    offset: timedelta
    orphans: dict[str, list[HistoryRow]] = field(default_factory=dict)
    ours: list[OurRequest] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    missed: list[OurRequest] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    lag_seconds: float | None = None
    pages: int = 0

    @property
    def evidence(self) -> Read:
        """What it proves about attempts without a request."""
        return Read(
            began_at=self.began_at,
            reached=self.reached,
            ours=[Sent(ours.sent_at, ours.upstream_id in self.seen) for ours in self.ours],
            bodiless=[
                (row.model, row.created_at)
                for rows in self.orphans.values()
                for row in rows[:1]
                if row.body is None or row.model is None or row.created_at is None
            ],
        )


async def read_history(
    database: Database,
    history: HistoryClient,
    *,
    since: datetime,
    now: datetime,
    offset: timedelta,
    late_seconds: float,
) -> Reading:
    """Read back to `since`. `offset`: how far the upstream's clock is ahead, as the last read has shown. `late_seconds`: the age from which
    a missing request of ours counts as late.

    Raises NotRead, StoreUnavailable.
    """
    rows: dict[str, list[HistoryRow]] = {}
    oldest, pages = None, 0
    async for page in history.read_newest(since=since + offset, until=now + offset + AHEAD):
        pages += 1
        for row in page.rows:
            kept = rows.setdefault(row.upstream_id, [])
            if row not in kept:
                kept.append(row)
        created = [row.created_at for row in page.rows if row.created_at is not None]
        oldest = min([*created, *([oldest] if oldest is not None else [])], default=None)
        if pages >= PAGES_MAX:
            break
        if not page.more:
            oldest = min(since + offset, oldest or now + offset)
    found = Reading(now, now if oldest is None else oldest - offset, offset, seen=set(rows), pages=pages)
    async with database.snapshot() as snapshot:
        found.ours = await list_ours(snapshot, since=min(found.reached, since) - timedelta(minutes=1), until=now)
        missed_before = await list_missed(snapshot)
        owned = await list_owned(snapshot, upstream_ids=list(rows))
    found.offset = _offset(found.ours, rows)
    found.reached -= found.offset - offset
    found.orphans = {
        upstream_id: [_by_our_clock(row, found.offset) for row in given]
        for upstream_id, given in rows.items()
        if upstream_id not in owned
    }
    found.found = sorted(missed_before & rows.keys())
    absent = [ours for ours in found.ours if ours.upstream_id not in rows and ours.sent_at >= found.reached]
    found.missed = [ours for ours in absent if (now - ours.sent_at).total_seconds() >= late_seconds]
    found.lag_seconds = max(((now - ours.sent_at).total_seconds() for ours in absent), default=None)
    return found


def _offset(ours: Sequence[OurRequest], rows: dict[str, list[HistoryRow]]) -> timedelta:
    return clock_offset(
        [
            (one.sent_at, row.created_at)
            for one in ours
            for row in rows.get(one.upstream_id, ())[:1]
            if row.created_at is not None
        ]
    )


def _by_our_clock(row: HistoryRow, offset: timedelta) -> HistoryRow:
    return row if row.created_at is None else replace(row, created_at=row.created_at - offset)
