"""A worker that hears what is published sends at once: without arq, and without a sweep; and what it leaves to others."""

import asyncio
from functools import partial

from arq.constants import health_check_key_suffix
from redis.asyncio import Redis

from app.core.database.db import Database
from app.core.process.cancel import cancel_all
from app.core.redis.arq_redis import QUEUE
from app.core.redis.doorbell import Doorbell
from app.worker import ring_forever
from tests.conftest import NewDatabase
from tests.core.test_doorbell import worker as another
from tests.doubles.forwarder import forwarding
from tests.doubles.raw_server import Peer, raw_server
from tests.factories.callers import Caller
from tests.factories.jobs import Engine
from tests.gateway import eventually
from tests.jobs.test_stopping import working


async def test_one_that_cannot_claim_leaves_rings_to_others(new_database: NewDatabase, redis_url: str) -> None:
    async with forwarding(await new_database()) as store:
        database = await Database.open(store.url, name="test", writers_max=2, readers_max=2)
        async with working(database, redis_url, "http://127.0.0.1:9") as made:
            worker = made.worker

            async def has_room() -> bool:
                return worker.has_room("dispatch")

            async def has_none() -> bool:
                worker.ring("dispatch")
                return not worker.has_room("dispatch")

            assert await has_room()
            await worker.meter.ready.wait()
            store.cut()
            await eventually(has_none)
            assert worker.has_room("deliver")
            store.mend()
            await eventually(has_room)
        await database.close()


async def test_the_sweeps_rest_only_while_every_ring_is_heard(database: Database, redis_url: str) -> None:
    async with working(database, redis_url, "http://127.0.0.1:9") as made, forwarding(redis_url) as redis:
        worker = made.worker
        worker.doorbell._url = redis.url
        arq = asyncio.create_task(ring_forever(worker, redis_url))
        async with Redis.from_url(redis_url) as asked:
            await eventually(lambda: asked.exists(QUEUE + health_check_key_suffix))
        assert not worker.sweeper._push_available, "arq rings one worker alone, which may die"
        listening = asyncio.create_task(worker.listen())

        async def hears() -> bool:
            return worker.sweeper._push_available and worker.webhook_sweeper._push_available

        await eventually(hears)
        redis.cut()

        async def deaf() -> bool:
            return not worker.sweeper._push_available and not worker.webhook_sweeper._push_available

        await eventually(deaf)
        await cancel_all([arq, listening])


async def test_a_ring_that_dies_with_its_worker_is_made_good_by_another(
    database: Database, redis_url: str, engine: Engine, caller: Caller
) -> None:
    async def silent(peer: Peer) -> None:
        await peer.until_client_leaves()

    async with raw_server(silent) as upstream, working(database, redis_url, upstream.url) as made:
        worker, bell = made.worker, Doorbell(redis_url)
        worker.has_room = lambda _task: False  # type: ignore[method-assign]  # the other one is always the first
        sweeping = asyncio.create_task(worker.sweeper.pump.run())
        listening = asyncio.create_task(worker.listen())
        async with another(redis_url) as dying:

            async def rests() -> bool:
                return worker.sweeper._wait_seconds >= 4 * worker.sweeper._sweep_seconds

            await eventually(rests)
            await engine.submit(caller)
            bell.ring("dispatch")

            async def sent() -> bool:
                return len(upstream.peers) == 1

            await eventually(sent, seconds=20)  # far below the rest of an idle sweep
            assert dying.rung == ["dispatch"]
        await bell.close()
        await cancel_all([sweeping, listening])


async def test_it_sends_when_rung_and_when_it_hears_again(
    database: Database, redis_url: str, engine: Engine, caller: Caller
) -> None:
    async def silent(peer: Peer) -> None:
        await peer.until_client_leaves()

    async with (
        raw_server(silent) as upstream,
        forwarding(redis_url) as redis,
        working(database, redis.url, upstream.url) as made,
    ):
        listening = asyncio.create_task(made.worker.listen())
        bell = Doorbell(redis_url)

        async def hears() -> bool:
            return made.worker.sweeper._push_available

        async def deaf() -> bool:
            return not made.worker.sweeper._push_available

        async def sent(number: int) -> bool:
            return len(upstream.peers) == number

        try:
            await eventually(hears)
            for number in (1, 2):
                await engine.submit(caller)
                bell.ring("dispatch")
                await eventually(partial(sent, number))
            redis.cut()
            await eventually(deaf)
            await engine.submit(caller)
            redis.mend()
            await eventually(partial(sent, 3))
            assert await sent(3), "though nobody has rung"
        finally:
            await bell.close()
            await cancel_all([listening])
