"""End the doubt about a database that no process vouches for, if the upstream's history has no request without a job."""

import asyncio
from datetime import datetime, timedelta
from typing import Protocol

from app.books.models import Doubt
from app.books.operations import find_doubt, find_lost_time, settle
from app.core.config.settings import Settings
from app.core.database.db import Database
from app.core.database.session import ReadSession
from app.core.errors import StoreUnavailable
from app.core.logs.log import get_logger
from app.pace.pauses.operations import lock_pauses
from app.probe.queries import find_probe_ids
from app.reconciliation.queries import list_owners
from app.reconciliation.tasks.history_of import history_of
from app.upstream.history import HistoryClient
from app.upstream.history_rows import HistoryRow, once_each
from app.upstream.readings import NotRead

log = get_logger(__name__)

LOOK_SECONDS = 2.0
AGAIN_SECONDS = 60.0
"""The delay after a history that could not be read, or that has requests without a job."""
BEFORE_SECONDS = 120.0
"""The highest difference between our clock and the upstream's, and between a heartbeat and the last send after it."""


class Doubted(Protocol):
    """Reports whether sending is stopped."""

    @property
    def doubted(self) -> bool: ...


async def refuting(settings: Settings, database: Database, witness: Doubted) -> None:
    """While sending is stopped because no process vouches for the database, read the history; until canceled."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if not witness.doubted or not settings.history_url:
            continue
        try:
            if not await _refute(settings, database):
                await asyncio.sleep(AGAIN_SECONDS)
        except (StoreUnavailable, NotRead) as error:
            log.warning("books.history_unreadable", cause=repr(error))
            await asyncio.sleep(AGAIN_SECONDS)


async def _refute(settings: Settings, database: Database) -> bool:
    """Return False if the history must be read again, after AGAIN_SECONDS."""
    async with database.snapshot() as snapshot:
        doubt, lost = await find_doubt(snapshot), await find_lost_time(snapshot)
    settled_at = lost.doubted_at + timedelta(seconds=settings.history_settle_seconds)
    if doubt is not Doubt.UNVOUCHED or lost.now < settled_at:
        return True
    history = history_of(settings)
    if history is None:
        return True
    try:
        since = lost.last_at - timedelta(seconds=BEFORE_SECONDS)
        orphans = await find_orphans(database, history, since=since, until=lost.now)
    finally:
        await history.close()
    if orphans:
        log.error("books.unassigned_requests_found", count=len(orphans), first=orphans[0].upstream_id)
        return False
    async with database.transaction() as session:
        await lock_pauses(session)
        if await find_doubt(session) is Doubt.UNVOUCHED:
            await settle(session)
            log.warning("books.doubt_ended_by_history", since=since.isoformat())
    return True


async def find_orphans(
    database: Database, history: HistoryClient, *, since: datetime, until: datetime
) -> list[HistoryRow]:
    """Return the requests on our key, accepted in [since, until], that neither a job nor a probe has. Raises NotRead, StoreUnavailable."""
    orphans: list[HistoryRow] = []
    async for page in history.read(since=since, until=until + timedelta(seconds=BEFORE_SECONDS)):
        rows = [row for row in once_each(page.rows) if row.created_at is None or row.created_at >= since]
        async with database.snapshot() as snapshot:
            owners = await _owners(snapshot, rows)
        orphans += [row for row in rows if row.upstream_id not in owners]
    return once_each(orphans)


async def _owners(session: ReadSession, rows: list[HistoryRow]) -> set[str]:
    upstream_ids = [row.upstream_id for row in rows]
    owned = set(await list_owners(session, upstream_ids=upstream_ids))
    return owned | await find_probe_ids(session, upstream_ids=upstream_ids)
