"""What a worker has in hand when it stops: what is not sent goes back at once, and is known not to be sent."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import asyncpg
import pytest

from app.core.db import Database
from app.core.settings import load_settings
from app.upstream.client import UpstreamClient
from app.worker import Engine as Worker
from app.worker import _hand_over
from tests.core.test_settings_history import REQUIRED
from tests.doubles.raw_server import Peer, raw_server
from tests.factories.callers import Caller
from tests.factories.jobs import Engine
from tests.gateway import eventually

EVER = 3600.0


@asynccontextmanager
async def working(database: Database, redis_url: str, upstream_url: str) -> AsyncIterator[Worker]:
    """A worker that claims and sends until the block ends, and is as patient with connections as can be."""
    settings = load_settings(**REQUIRED | {"redis_url": redis_url, "upstream_url": upstream_url})
    worker = Worker(settings, database)
    worker.dispatcher._upstream = UpstreamClient(
        url=upstream_url, api_key="k", submit_connections_max=8, poll_connections_max=8,
        connect_seconds=EVER, submit_seconds=EVER,
    )  # fmt: skip
    pumps = [asyncio.create_task(pump.run()) for pump in (worker.meter.pump, worker.dispatcher.pump)]
    try:
        yield worker
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        await worker.dispatcher._upstream.close()
        await worker.doorbell.close()


async def claimed(database: Database) -> None:
    async def look() -> bool:
        async with database.snapshot() as session:
            return bool(await session.fetchval("SELECT count(*) FROM jobs WHERE owner IS NOT NULL"))

    await eventually(look)


async def test_a_claim_goes_back_while_its_connection_is_still_being_opened(
    database: Database, redis_url: str, engine: Engine, caller: Caller
) -> None:
    [job_id] = await engine.submit(caller)
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full, contextlib.ExitStack() as fillers:
        host, port = full.getsockname()
        for _ in range(8):
            filler = fillers.enter_context(closing(socket.socket()))
            filler.setblocking(False)
            filler.connect_ex((host, port))
        async with working(database, redis_url, f"http://{host}:{port}") as worker:
            await claimed(database)
        ending = asyncio.create_task(_hand_over(worker, EVER))

        async def given_back() -> bool:
            return (await engine.get(job_id))["owner"] is None

        await eventually(given_back)
        assert not ending.done()
        worker.cut()
        await ending
    row = await engine.get(job_id)
    assert (row["state"], row["attempt"], row["retries"]) == ("queued", 0, 0)


async def test_an_attempt_that_is_being_opened_is_recorded_as_not_sent(
    url: str, database: Database, redis_url: str, engine: Engine, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.tasks.dispatch.LAST_WORDS_SECONDS", EVER)
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
        async with working(database, redis_url, upstream.url) as worker:

            async def opening() -> bool:
                sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'attempts'::regclass"
                return bool(await owner.fetchval(sql))

            await eventually(opening)
        worker.dispatcher.cut()
        await asyncio.sleep(0)
        await held.rollback()
        await worker.dispatcher.drain(EVER)
        await left.wait()
        assert upstream.received == b""
    await owner.close()
    row = await engine.get(job_id)
    assert (row["state"], row["attempt"]) == ("queued", 1)
    async with database.snapshot() as session:
        told = await session.fetchrow("SELECT outcome, detail FROM upstream_exchanges WHERE job_id = $1", job_id)
    assert told is not None
    assert tuple(told) == ("not_sent", "shut_down")
