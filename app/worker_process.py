"""One worker process from start to end: the engine, its heartbeat and its witness."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from app.books.witness import Witness
from app.books.witness_store import WitnessStore as WitnessKeeper
from app.core import clock
from app.core.config.settings import Settings
from app.core.database.db import Database
from app.core.database.schema import SchemaGate
from app.core.errors import WrongConnection
from app.core.ids import new_id
from app.core.logs.log import get_logger
from app.core.process.cancel import cancel_all
from app.core.process.heartbeat import beating
from app.core.process.watchdog import EXIT_CODE, Watchdog
from app.engine import Engine, wind_up
from app.reconciliation.tasks.refute import refuting

log = get_logger(__name__)

WRITERS_MAX = 8
READERS_MAX = 2


class Process:
    """A worker process. Set `stop` to end it, and `hurried` to stop waiting for anything."""

    def __init__(self, settings: Settings) -> None:
        self.stop, self.hurried = asyncio.Event(), asyncio.Event()
        self.engine: Engine
        self._settings = settings
        self._wrong: list[WrongConnection] = []
        self._watchdog = Watchdog(blocked_seconds_max=max(1.0, settings.lease_seconds * 0.8))
        self._process_id = new_id()
        self._witness = Witness(
            WitnessKeeper(settings.redis_url),
            process_id=self._process_id,
            lease_seconds=settings.lease_seconds,
            sends=True,
        )
        self._taking: list[asyncio.Task[None]] = []
        self._keeping: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Start to take work."""
        schema = SchemaGate(self._stop_for)
        await self._witness.recall()
        database = await Database.open(
            self._settings.database_url,
            name="worker",
            writers_max=WRITERS_MAX,
            readers_max=READERS_MAX,
            on_wrong=self._stop_for,
            schema=schema,
            check=self._witness.check,
        )
        self.engine = Engine(self._settings, database, on_wrong=self._stop_for, process_id=self._process_id)
        self.engine.dispatcher.sender.opened = self._witness.opened
        self._watchdog.start()  # before this point the process has no lease to lose
        log.info("worker.started", worker=self._process_id.hex)
        for pump in self.engine.pumps:
            self.take(pump.run())
        self.take(self.engine.listen())
        beats = beating(
            database,
            process_id=self._process_id,
            kind="worker",
            lease_seconds=self._settings.lease_seconds,
            schema=schema,
            beaten=self._witness.beaten,
        )
        keeping = (
            self.engine.renew(),
            beats,
            self._witness.keep(database),
            refuting(self._settings, database, self._witness),
        )
        self._keeping = [asyncio.create_task(part) for part in keeping]
        self._proving = asyncio.create_task(database.prove_when_there())

    def take(self, work: Coroutine[Any, Any, None]) -> None:
        """Also run this work while the process takes work. It must not return."""
        self._taking.append(asyncio.create_task(work))

    async def over(self) -> None:
        """Return when `stop` is set, or a part has ended."""
        stopped = asyncio.create_task(self.stop.wait())
        parts = (*self._taking, *self._keeping)
        await asyncio.wait([stopped, *parts], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        for task in parts:
            if task.done():  # a part never ends normally: a new process is better than one without that part
                log.error("worker.broken", exc_info=task.exception())

    async def end(self) -> int:
        """Take no more work; finish or hand back the rest within the grace period. Return the exit code. Raises WrongConnection
        if a connection to Postgres proved wrong."""
        log.info("worker.stopping", worker=self._process_id.hex)
        give_up_at = clock.monotonic() + self._settings.grace_seconds
        await cancel_all([*self._taking, self._proving])
        await wind_up(self.engine, max(0.0, give_up_at - clock.monotonic()), self.hurried)
        await cancel_all(self._keeping)
        self._watchdog.stop()
        await self.engine.close()
        await self._witness.leave()
        await self.engine.database.close()
        log.info("worker.stopped", worker=self._process_id.hex)
        if self._wrong:
            raise self._wrong[0]
        return 0 if self.stop.is_set() else EXIT_CODE

    def _stop_for(self, error: WrongConnection) -> None:
        self._wrong.append(error)
        self.stop.set()
