"""Submits that did not become a job, recorded before they are answered; equal ones of a minute share a row."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from app.core.crash import crash_point
from app.core.database.db import Database, until_stored
from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.core.errors import StoreUnavailable
from app.core.logs.log import get_logger
from app.core.process.batch import Batcher, Overloaded

log = get_logger(__name__)

OWED_MAX = 10_000
"""Rows that wait for the store to come back; what is beyond is in the log alone."""

PAUSE_SECONDS = 0.025
"""How long one statement begins after the other at least: each is a commit, whose disk flush all others' commits wait for."""
FLOOD_SECONDS = 0.1
"""How long a refusal of a flood waits for others: they make at most ten statements a second."""
FLOOD_MAX = 10_000
RECORD_SECONDS = 5.0
"""How long an answer waits for its record where Postgres hangs; the record goes on by itself."""
MODELS_MAX = 50
"""Different models of one tenant's refusals in a minute, in one process; the others share a row without a name."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A submit that was turned down, or replayed (`code` is then `replayed`, with its job)."""

    tenant_id: UUID | None
    key_id: UUID | None
    surface: str
    model: str | None
    status_code: int
    code: str
    job_id: UUID | None = None


class ModelNames:
    """The models that each tenant's refusals of the present minute name, MODELS_MAX of each tenant."""

    def __init__(self) -> None:
        self._minute: datetime | None = None
        self._named: dict[UUID, set[str]] = {}

    def bounded(self, refused: Refused, at: datetime) -> Refused:
        """The same, without its model where its tenant has named too many others before. Replays stay as they are: they
        count towards the tenant's rate."""
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
    """Counts of equal refusals by minute: what is to be added to the table."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Refused, datetime], tuple[datetime, datetime, int]] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, refused: Refused, at: datetime) -> None:
        """One more."""
        equal = (refused, at - timedelta(seconds=at.second, microseconds=at.microsecond))
        first, last, count = self._counts.get(equal, (at, at, 0))
        self._counts[equal] = (min(first, at), max(last, at), count + 1)

    def rows(self) -> list["_Counted"]:
        """As `record_refusals.sql` asks for them."""
        return [
            _Counted(
                one.tenant_id, one.key_id, one.surface, one.model, one.status_code, one.code, one.job_id,
                first, last, count,
            )
            for (one, _), (first, last, count) in self._counts.items()
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
    """Write a tally down, one row for equal ones. One statement."""
    await session.run(_RECORD_REFUSALS, **columns_of(_Counted, tally.rows()))


class RefusalBook:
    """One process's way of writing refusals down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batcher: Batcher[tuple[Refused, datetime], None] = Batcher(
            self._flush, size_max=500, pause_seconds=PAUSE_SECONDS
        )
        self._floods: Batcher[tuple[Refused, datetime], None] = Batcher(
            self._flush, size_max=FLOOD_MAX, linger_seconds=FLOOD_SECONDS
        )
        self._models = ModelNames()
        self._owed = Tally()
        self._paying: asyncio.Task[None] | None = None

    async def record(self, refused: Refused, *, received_at: datetime, flood: bool = False) -> None:
        """Committed when it returns, or after RECORD_SECONDS under way; while the store is away it is owed, and written when
        the store is back. One of a `flood` waits up to FLOOD_SECONDS for the others."""
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

    def _written(self, refused: Refused, at: datetime, writing: asyncio.Future[None]) -> None:
        if isinstance(writing.exception(), StoreUnavailable):
            # where only the answer to the COMMIT was lost this counts twice: rather that than not at all
            self._owe(refused, at)

    async def drained(self, seconds: float) -> None:
        """Write what is under way or owed, if that can be done in so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._batcher.drained()
                await self._floods.drained()
                if self._paying is not None:
                    await asyncio.wait([self._paying])
        if self._paying is not None:
            log.error("refusals.lost", cause="shut_down")
            self._paying.cancel()

    def _owe(self, refused: Refused, at: datetime) -> None:
        log.warning("refusal.owed", surface=refused.surface, code=refused.code, status=refused.status_code)
        if len(self._owed) < OWED_MAX:
            self._owed.add(refused, at)
        if self._paying is None:
            self._paying = asyncio.create_task(self._pay())

    async def _pay(self) -> None:
        try:
            while len(self._owed):
                tally, self._owed = self._owed, Tally()
                await until_stored(partial(self._write, tally))
        except Exception:
            log.exception("refusals.lost")
        finally:
            self._paying = None

    async def _write(self, tally: Tally) -> None:
        async with self._database.statement() as session:
            crash_point("refusal.before_store")
            await record_refusals(session, tally=tally)
        crash_point("refusal.after_store")

    async def _flush(self, group: Sequence[tuple[Refused, datetime]]) -> Sequence[None | Exception]:
        tally = Tally()
        for refused, at in group:
            tally.add(refused, at)
        await self._write(tally)
        return [None] * len(group)
