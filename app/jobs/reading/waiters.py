"""Requests that wait for a job's end. Notifications wake them, and one read of the database a second for all of them together."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from uuid import UUID

from app.core.database.db import Database
from app.core.errors import StoreUnavailable
from app.jobs.queries import list_finished

LOOK_SECONDS = 1.0


class Waiters:
    """The waiting requests of this process, by job."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: defaultdict[UUID, set[asyncio.Future[None]]] = defaultdict(set)
        self._somebody = asyncio.Event()
        self.released = False
        """Whether this process is about to stop, and no request may wait any longer."""

    def wake(self, job_ids: Iterable[UUID]) -> None:
        """End the waits for these ended jobs."""
        for job_id in job_ids:
            for future in self._waiting.pop(job_id, ()):
                if not future.done():
                    future.set_result(None)

    def release(self) -> None:
        """End every wait, and each later one as it begins: the process stops."""
        self.released = True
        self.wake(list(self._waiting))

    @contextlib.asynccontextmanager
    async def registered(self, job_id: UUID) -> AsyncIterator[asyncio.Future[None]]:
        """Yield a future that is done when the job ends, or immediately if `released`. Register, then read the job, then wait."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.released:
            future.set_result(None)
        self._waiting[job_id].add(future)
        self._somebody.set()
        try:
            yield future
        finally:
            if job_id in self._waiting:
                self._waiting[job_id].discard(future)
                if not self._waiting[job_id]:
                    del self._waiting[job_id]

    async def watch(self) -> None:
        """Find the ended jobs whose notification was lost. Runs until it is cancelled."""
        while True:
            if not self._waiting:
                self._somebody.clear()
                await self._somebody.wait()
            await asyncio.sleep(LOOK_SECONDS)
            job_ids = list(self._waiting)
            if job_ids:
                with contextlib.suppress(StoreUnavailable):
                    async with self._database.snapshot() as session:
                        self.wake(await list_finished(session, job_ids=job_ids))
