"""A recovery: set all jobs that may have been sent to unknown, compare them with the history, then resume sending."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.audit.operations import record_audit
from app.books.operations import LostTime, find_lost_time, settle, take_over_pause
from app.core.database.db import Database
from app.jobs.admin.recover import (
    MARK,
    Forgotten,
    begin_recovery,
    count_left,
    end_recovery,
    forget_queued,
    forget_sending,
    free_running,
    list_forgotten,
)
from app.reconciliation.matching import match
from app.reconciliation.recovering import BATCH_MAX, adopt, candidate_of, list_observed, note_orphans, requeue
from app.reconciliation.tasks.refute import BEFORE_SECONDS, find_orphans
from app.upstream.history import HistoryClient
from app.upstream.history_rows import HistoryRow
from app.upstream.readings import NotRead


@dataclass(slots=True)
class Recovered:
    """The result of a recovery. `before`: jobs accepted until then were in doubt. `queued`, `sending`: jobs that became
    unknown. `running`: jobs that continue. `adopted`: unknown jobs found in the history; `requeued`: unknown jobs not in it.
    `orphans`: requests of the lost time that no job owns. `unread`: why the history could not be used; None if it was."""

    before: datetime
    queued: int = 0
    sending: int = 0
    running: int = 0
    adopted: int = 0
    requeued: int = 0
    orphans: int = 0
    unread: str | None = None
    left_queued: int = 0
    left_unknown: int = 0
    paused_by: str | None = None

    def value(self) -> dict[str, object]:
        """Return it for --json."""
        return asdict(self)


class Recovery:
    """One recovery. It may be interrupted at any point and run again."""

    def __init__(
        self,
        *,
        database: Database,
        history: HistoryClient | None,
        settle_seconds: float,
        unknown_max_seconds: float,
        unread: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`settle_seconds`: how long the history may lag. `unread`: why there is no history."""
        self._database = database
        self._history = history
        self._settle_seconds = settle_seconds
        self._unknown_max_seconds = unknown_max_seconds
        self._unread = unread
        self._say = say

    async def recover(self, *, since: datetime | None, stay_paused: bool, by: str) -> Recovered:
        """Run the recovery. `since`: only jobs accepted before it are in doubt. `by`: who acts, for the audit log. Raises
        StoreUnavailable."""
        async with self._database.transaction() as session:
            pause, now = await begin_recovery(session)
            await take_over_pause(session, by=MARK)
            lost = await find_lost_time(session)
            asked = {"since": since, "stay_paused": stay_paused}
            await record_audit(session, by=by, action="database.recover", detail=asked)
        told = Recovered(before=now if since is None else min(since, now))
        await self._forget(told)
        await self._compare(told, lost, since)
        async with self._database.snapshot() as snapshot:
            left = await count_left(snapshot)
        told.left_queued, told.left_unknown = left.queued, left.unknown
        async with self._database.transaction() as session:
            await settle(session, recovered=True)
            stays = pause if stay_paused else await end_recovery(session)
        told.paused_by = None if stays is None else (MARK if stays.reason else stays.paused_by)
        return told

    async def _forget(self, told: Recovered) -> None:
        """Make jobs in doubt unknown, end the claims of running ones; a batch a transaction."""
        seconds, last = self._unknown_max_seconds, UUID(int=0)
        while True:
            async with self._database.transaction() as session:
                moved = await forget_sending(session, before=told.before, unknown_max_seconds=seconds)
                told.sending += moved
                if moved:
                    continue
                moved = await forget_queued(session, before=told.before, unknown_max_seconds=seconds)
                told.queued += moved
                freed = [] if moved else await free_running(session, before=told.before, after=last)
                told.running += len(freed)
            if not moved and not freed:
                return
            last = freed[0] if freed else last

    async def _compare(self, told: Recovered, lost: LostTime, since: datetime | None) -> None:
        async with self._database.snapshot() as snapshot:
            jobs = await list_forgotten(snapshot, since=min(lost.doubted_at, lost.now))
            observed = await list_observed(snapshot, job_ids=[job.id for job in jobs])
        told.adopted += await self._adopt(jobs, observed)
        jobs = [job for job in jobs if job.id not in observed]
        if self._history is None:
            told.unread = self._unread
            return
        begin = min(lost.last_at, since or lost.last_at) - timedelta(seconds=BEFORE_SECONDS)
        if jobs:
            await self._until_settled(lost)
        try:
            self._say("reading the upstream's request history")
            orphans = await find_orphans(self._database, self._history, since=begin, until=lost.now)
        except NotRead as error:
            told.unread = error.detail
            return
        await self._assign(told, jobs, orphans)

    async def _until_settled(self, lost: LostTime) -> None:
        """Wait until the history must contain everything that was sent before the database was doubted."""
        wait = (lost.doubted_at + timedelta(seconds=self._settle_seconds) - lost.now).total_seconds()
        while wait > 0:
            self._say(f"waiting {wait:.0f} s until the upstream's history is complete")
            step = min(wait, 15.0)
            await asyncio.sleep(step)
            wait -= step

    async def _assign(self, told: Recovered, jobs: Sequence[Forgotten], orphans: Sequence[HistoryRow]) -> None:
        found = match(orphans, [candidate_of(job) for job in jobs])
        told.adopted += await self._adopt(jobs, {job_id: row.upstream_id for job_id, row in found.adopted.items()})
        # only attempts that this recovery made: a worker may have sent its own attempt in any case, so that job stays unknown
        attempts = {job.id: job.attempt for job in jobs if job.made_up}
        unsent = [job_id for job_id in found.never_sent if job_id in attempts]
        for at in range(0, len(unsent), BATCH_MAX):
            batch = {job_id: attempts[job_id] for job_id in unsent[at : at + BATCH_MAX]}
            async with self._database.transaction() as session:
                told.requeued += await requeue(session, jobs=batch)
        async with self._database.transaction() as session:
            await note_orphans(session, rows=found.orphans)
        told.orphans = len(found.orphans)

    async def _adopt(self, jobs: Sequence[Forgotten], upstream_ids: dict[UUID, str]) -> int:
        attempts = {job.id: job.attempt for job in jobs}
        adopted = 0
        for at in range(0, len(upstream_ids), BATCH_MAX):
            batch = dict(list(upstream_ids.items())[at : at + BATCH_MAX])
            async with self._database.transaction() as session:
                adopted += await adopt(session, jobs=attempts, upstream_ids=batch)
        return adopted
