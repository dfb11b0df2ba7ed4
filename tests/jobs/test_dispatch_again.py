"""What this worker has sent back to the queue stands in line again in time, with no sweep about."""

import asyncio
import contextlib
from typing import Any

from app.core.db import Database
from app.core.ids import new_id
from app.jobs.tasks.dispatch import Dispatcher
from app.jobs.tasks.lease import Leases
from tests.factories.callers import Caller
from tests.factories.jobs import Engine, later
from tests.gateway import eventually


class Silent:
    """Stands in for the meter and the run times."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.ready.set()

    async def learn(self, models: Any) -> None:
        list(models)

    def took(self, *_: Any) -> None:
        pass


async def test_the_later_of_two_is_promoted_too(database: Database, engine: Engine, caller: Caller) -> None:
    silent: Any = Silent()
    nobody: Any = None
    dispatcher = Dispatcher(
        database=database, upstream=nobody, leases=Leases(database, owner=new_id(), lease_seconds=30),
        run_times=silent, doorbell=nobody, meter=silent, account=nobody, forbidden=nobody, discretion=nobody, trouble=nobody,
        unknown_max_seconds=60,
    )  # fmt: skip
    dispatcher._send = lambda *_: asyncio.sleep(0)  # type: ignore[assignment, method-assign, misc]
    [first] = await engine.submit(caller, not_before=later(milliseconds=200))
    [second] = await engine.submit(caller, not_before=later(milliseconds=700))
    dispatcher._again_in(0.25)
    dispatcher._again_in(0.75)
    pump = asyncio.create_task(dispatcher.pump.run())

    async def promoted() -> bool:
        return all([(await engine.get(one))["ready"] for one in (first, second)])

    await eventually(promoted)
    pump.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pump
    assert await promoted()
