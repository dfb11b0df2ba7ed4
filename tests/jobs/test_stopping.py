"""What a worker has in hand when it stops: what is not sent goes back at once, and is known not to be sent; and what a
wait is told."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import asyncpg
import psutil
import pytest

from app.core.config.settings import load_settings
from app.core.database.db import Database
from app.core.database.session import Row
from app.core.process.cancel import cancel_all
from app.engine import Engine as Worker
from app.engine import hand_over
from app.jobs.reading.reader import Reader
from app.jobs.reading.waiters import Waiters
from app.upstream.client import UpstreamClient
from tests.core.test_settings_history import REQUIRED
from tests.doubles.forwarder import forwarding
from tests.doubles.raw_server import Peer, raw_server
from tests.factories.callers import Caller
from tests.factories.jobs import Engine
from tests.gateway import eventually

EVER = 3600.0


class Working:
    """A worker that claims and sends until `stop`, and is as patient with connections as can be."""

    def __init__(self, database: Database, redis_url: str, upstream_url: str) -> None:
        settings = load_settings(**REQUIRED | {"redis_url": redis_url, "upstream_url": upstream_url})
        self.worker = Worker(settings, database)
        self.upstream = UpstreamClient(
            url=upstream_url, api_key="k", submit_connections_max=8, poll_connections_max=8,
            connect_seconds=EVER, submit_seconds=EVER,
        )  # fmt: skip
        self.worker.dispatcher.sender._upstream = self.upstream
        pumps = (self.worker.meter.pump, self.worker.dispatcher.pump)
        self._taking = [asyncio.create_task(pump.run()) for pump in pumps]

    async def stop(self) -> None:
        """Take nothing more; what is under way goes on."""
        await cancel_all(self._taking)


@asynccontextmanager
async def working(database: Database, redis_url: str, upstream_url: str) -> AsyncIterator[Working]:
    made = Working(database, redis_url, upstream_url)
    try:
        yield made
    finally:
        await made.stop()
        made.worker.cut()
        await made.worker.dispatcher.drain(EVER)
        await made.upstream.close()
        await made.worker.close()


async def being_opened(port: int, fillers: list[socket.socket]) -> None:
    """This process opens a connection to `port` that is none of `fillers`."""
    known = {filler.getsockname()[1] for filler in fillers}

    async def look() -> bool:
        opened = psutil.Process().net_connections("tcp4")
        return any(one.raddr and one.raddr.port == port and one.laddr.port not in known for one in opened)

    await eventually(look)


async def test_a_claim_goes_back_while_its_connection_is_still_being_opened(
    database: Database, redis_url: str, engine: Engine, caller: Caller
) -> None:
    [job_id] = await engine.submit(caller)
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full, contextlib.ExitStack() as stack:
        host, port = full.getsockname()
        fillers = [stack.enter_context(closing(socket.socket())) for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((host, port))
        async with working(database, redis_url, f"http://{host}:{port}") as made:
            await being_opened(port, fillers)
            await made.stop()
            ending = asyncio.create_task(hand_over(made.worker, EVER))

            async def given_back() -> bool:
                return (await engine.get(job_id))["owner"] is None

            await eventually(given_back)
            assert not ending.done()
            made.worker.cut()
            await ending
    row = await engine.get(job_id)
    assert (row["state"], row["attempt"], row["retries"]) == ("queued", 0, 0)


async def test_an_attempt_that_is_being_opened_is_recorded_as_not_sent(
    url: str, database: Database, redis_url: str, engine: Engine, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.engine.dispatch.CANCEL_GRACE_SECONDS", EVER)
    [job_id] = await engine.submit(caller)

    async def silent(peer: Peer) -> None:
        await peer.until_client_leaves()
        peer.writer.close()
        await peer.writer.wait_closed()
        left.set()

    left = asyncio.Event()
    owner = await asyncpg.connect(url)
    async with raw_server(silent) as upstream:
        held = owner.transaction()
        await held.start()
        await owner.execute("LOCK TABLE attempts IN EXCLUSIVE MODE")
        async with working(database, redis_url, upstream.url) as made:

            async def opening() -> bool:
                sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'attempts'::regclass"
                return bool(await owner.fetchval(sql))

            await eventually(opening)
            await made.stop()
            made.worker.cut()
            await asyncio.sleep(0)
            await held.rollback()
            await made.worker.dispatcher.drain(EVER)
        await left.wait()
        assert upstream.received == b""
    await owner.close()
    row = await engine.get(job_id)
    assert (row["state"], row["attempt"]) == ("queued", 1)
    async with database.snapshot() as session:
        told = await session.fetchrow("SELECT outcome, detail FROM upstream_exchanges WHERE job_id = $1", job_id)
    assert told is not None
    assert tuple(told) == ("not_sent", "shut_down")


class Counted(Reader):
    """Counts the reads that were answered."""

    read = 0

    async def _read(self, *args: Any, **more: Any) -> Row | None:
        row = await super()._read(*args, **more)
        self.read += 1
        return row


async def test_a_wait_whose_store_is_away_ends_with_the_state_last_seen(
    url: str, engine: Engine, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.reading.reader.LAST_READ_SECONDS", 0.2)
    [job_id] = await engine.submit(caller)
    async with forwarding(url) as store:
        database = await Database.open(store.url, name="test", writers_max=1, readers_max=2)
        waiters = Waiters(database)
        reader = Counted(database, waiters)
        waiting = asyncio.create_task(reader.wait_for_job(caller.tenant.id, job_id, EVER))

        async def looked() -> bool:
            return reader.read == 1

        await eventually(looked)
        store.cut()
        waiters.release()
        row = await waiting
        assert row is not None
        assert (row.id, row.state) == (job_id, "queued")
        store.mend()
        row = await reader.wait_for_job(caller.tenant.id, job_id, EVER)
        assert row is not None, "nobody waits any longer"
        await database.close()
