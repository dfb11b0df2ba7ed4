"""Reads that wait: for a job's end, and for a database that is briefly unavailable."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from app.core import clock
from app.core.database.db import READ_SECONDS, Database, retry_read
from app.core.database.session import ReadSession
from app.core.errors import StoreUnavailable
from app.jobs.models import FINAL, State
from app.jobs.queries import find_job, find_result
from app.jobs.reading.waiters import Waiters
from app.jobs.rows import JobResult, WholeJob

LAST_READ_SECONDS = 5.0
"""How long the last read of a wait may take when the process stops: then many waits read at the same time."""

Shown = TypeVar("Shown", JobResult, WholeJob)
Read = Callable[[ReadSession], Awaitable[Shown | None]]
Patience = Callable[[], Awaitable[float]]
"""How many seconds to wait, counted from its answer. It is asked only about a job that has not ended."""


class Reader:
    """Reads jobs, one object for each API process."""

    def __init__(self, database: Database, waiters: Waiters) -> None:
        self._database = database
        self._waiters = waiters

    async def find_result(self, tenant_id: UUID, job_id: UUID) -> JobResult | None:
        """Return the upstream's final body of a job, with its state. None if the tenant has no such job."""
        return await self._read(tenant_id, lambda session: find_result(session, tenant_id=tenant_id, job_id=job_id))

    async def find_job(self, tenant_id: UUID, job_id: UUID) -> WholeJob | None:
        """Return all of a job. None if the tenant has no such job."""
        return await self._read(tenant_id, lambda session: find_job(session, tenant_id=tenant_id, job_id=job_id))

    async def wait_for_result(self, tenant_id: UUID, job_id: UUID, seconds: float | Patience) -> JobResult | None:
        """As `find_result`, after the job has ended, `seconds` have passed since the call, or the process stops."""
        return await self._wait(
            tenant_id, lambda session: find_result(session, tenant_id=tenant_id, job_id=job_id), job_id, seconds
        )

    async def wait_for_job(self, tenant_id: UUID, job_id: UUID, seconds: float) -> WholeJob | None:
        """As `find_job`, after the job has ended, `seconds` have passed since the call, or the process stops."""
        return await self._wait(
            tenant_id, lambda session: find_job(session, tenant_id=tenant_id, job_id=job_id), job_id, seconds
        )

    async def _read(self, tenant_id: UUID, read: Read[Shown], seconds: float = READ_SECONDS) -> Shown | None:
        async def once() -> Shown | None:
            async with self._database.snapshot(tenant_id, point=True) as session:
                return await read(session)

        return await retry_read(once, seconds=seconds)

    async def _wait(self, tenant_id: UUID, read: Read[Shown], job_id: UUID, seconds: float | Patience) -> Shown | None:
        if not callable(seconds) and seconds <= 0:
            return await self._read(tenant_id, read)
        began_at = clock.monotonic()
        # registered before the first read: an end between the read and the wait must not be missed
        async with self._waiters.registered(job_id) as ended:
            row = await self._read(tenant_id, read)
            if row is None or State(row.state) in FINAL:
                return row
            if callable(seconds):
                seconds = await seconds()
                began_at = clock.monotonic()
            rest = began_at + seconds - clock.monotonic()
            if rest <= 0 and not ended.done():
                return row
            await asyncio.wait([ended], timeout=max(0.0, rest))
        if not self._waiters.released:
            return await self._read(tenant_id, read)
        try:
            return await self._read(tenant_id, read, LAST_READ_SECONDS)
        except StoreUnavailable:
            return row  # the last known state is better than an error from a process that stops
