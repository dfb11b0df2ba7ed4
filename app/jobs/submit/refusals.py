"""Record refused and replayed submits before they are answered. Equal ones of a minute share a row."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from app.core.crash import crash_point
from app.core.database.db import Database, retry_until_stored
from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.core.errors import StoreUnavailable
from app.core.logs.log import get_logger
from app.core.process.batch import Batcher, Overloaded

log = get_logger(__name__)

OWED_MAX = 10_000
"""Rows that wait until the database is available again. Further ones are only in the log."""

PAUSE_SECONDS = 0.025
"""The shortest time between two statements: all other commits wait for the disk flush of each."""
FLOOD_SECONDS = 0.1
"""How long a refusal of a flood waits for others. So a flood makes at most ten statements a second."""
FLOOD_MAX = 10_000
RECORD_SECONDS = 5.0
"""How long an answer waits for its record if Postgres hangs. The record continues in the background."""
MODELS_MAX = 50
"""Different models in the refusals of one tenant, minute and process. Further ones share a row without a model."""


@dataclass(frozen=True, slots=True)
class RefusedSubmit:
    """A submit that was refused, or replayed (then `code` is `replayed`, and `job_id` is set)."""

    tenant_id: UUID | None
    key_id: UUID | None
    surface: str
    model: str | None
    status_code: int
    code: str
    job_id: UUID | None = None


class ModelNames:
    """The models in each tenant's refusals of the current minute, at most MODELS_MAX for each tenant."""

    def __init__(self) -> None:
        self._minute: datetime | None = None
        self._named: dict[UUID, set[str]] = {}

    def bounded(self, refused: RefusedSubmit, at: datetime) -> RefusedSubmit:
        """Return the refusal, without its model if its tenant has used MODELS_MAX others. Replays are unchanged: the rate limit
        bounds them."""
        if refused.tenant_id is None or refused.model is None or refused.job_id is not None:
            return refused
        minute = at.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute, self._named = minute, {}
        named = self._named.setdefault(refused.tenant_id, set())
        if len(named) < MODELS_MAX:
            named.add(refused.model)
        return refused if refused.model in named else replace(refused, model=None)


class Tally:
    """Counts of equal refusals by minute, to be added to the table."""

    def __init__(self) -> None:
        self._counts: dict[tuple[RefusedSubmit, datetime], tuple[datetime, datetime, int]] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, refused: RefusedSubmit, at: datetime) -> None:
        """Count one more refusal."""
        equal = (refused, at - timedelta(seconds=at.second, microseconds=at.microsecond))
        first, last, count = self._counts.get(equal, (at, at, 0))
        self._counts[equal] = (min(first, at), max(last, at), count + 1)

    def rows(self) -> list["_Counted"]:
        """Return the parameters of `record_refusals.sql`."""
        return [
            _Counted(
                item.tenant_id, item.key_id, item.surface, item.model, item.status_code, item.code, item.job_id,
                first, last, count,
            )
            for (item, _), (first, last, count) in self._counts.items()
        ]  # fmt: skip


class _Counted(NamedTuple):
    """Equal refusals of a minute."""

    tenant_id: UUID | None
    key_id: UUID | None
    surface: str
    model: str | None
    status_code: int
    code: str
    job_id: UUID | None
    received_at: datetime
    last_at: datetime
    refused: int


_RECORD_REFUSALS = SqlFolder(__file__).command("record_refusals")


async def record_refusals(session: Session, *, tally: Tally) -> None:
    """Write a tally, with one row for equal refusals. One statement."""
    await session.run(_RECORD_REFUSALS, **columns_of(_Counted, tally.rows()))


class RefusalBook:
    """Records refusals, one object for each process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batcher: Batcher[tuple[RefusedSubmit, datetime], None] = Batcher(
            self._flush, size_max=500, pause_seconds=PAUSE_SECONDS
        )
        self._floods: Batcher[tuple[RefusedSubmit, datetime], None] = Batcher(
            self._flush, size_max=FLOOD_MAX, linger_seconds=FLOOD_SECONDS
        )
        self._models = ModelNames()
        self._owed = Tally()
        self._paying: asyncio.Task[None] | None = None

    async def record(self, refused: RefusedSubmit, *, received_at: datetime, flood: bool = False) -> None:
        """Record a refusal. It is committed when this returns, unless that takes longer than RECORD_SECONDS. While the database
        is unavailable, it is kept in memory. A refusal of a `flood` waits up to FLOOD_SECONDS for others."""
        refused = self._models.bounded(refused, received_at)
        if self._paying is not None:
            self._owe(refused, received_at)
            return
        try:
            writing = (self._floods if flood else self._batcher).post((refused, received_at))
        except Overloaded:
            self._owe(refused, received_at)
            return
        writing.add_done_callback(partial(self._written, refused, received_at))
        await asyncio.wait([writing], timeout=RECORD_SECONDS)
        if writing.done() and not isinstance(writing.exception(), StoreUnavailable):
            writing.result()

    def _written(self, refused: RefusedSubmit, at: datetime, writing: asyncio.Future[None]) -> None:
        if isinstance(writing.exception(), StoreUnavailable):
            # counts twice if only the answer to the COMMIT was lost, which is better than not at all
            self._owe(refused, at)

    async def drained(self, seconds: float) -> None:
        """Write all refusals that are not written yet, within `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._batcher.drained()
                await self._floods.drained()
                if self._paying is not None:
                    await asyncio.wait([self._paying])
        if self._paying is not None:
            log.error("refusals.not_recorded", cause="shut_down")
            self._paying.cancel()

    def _owe(self, refused: RefusedSubmit, at: datetime) -> None:
        log.warning("refusal.record_delayed", surface=refused.surface, code=refused.code, status=refused.status_code)
        if len(self._owed) < OWED_MAX:
            self._owed.add(refused, at)
        if self._paying is None:
            self._paying = asyncio.create_task(self._pay())

    async def _pay(self) -> None:
        try:
            while len(self._owed):
                tally, self._owed = self._owed, Tally()
                await retry_until_stored(partial(self._write, tally))
        except Exception:
            log.exception("refusals.not_recorded")
        finally:
            self._paying = None

    async def _write(self, tally: Tally) -> None:
        async with self._database.statement() as session:
            crash_point("refusal.before_store")
            await record_refusals(session, tally=tally)
        crash_point("refusal.after_store")

    async def _flush(self, group: Sequence[tuple[RefusedSubmit, datetime]]) -> Sequence[None | Exception]:
        tally = Tally()
        for refused, at in group:
            tally.add(refused, at)
        await self._write(tally)
        return [None] * len(group)
