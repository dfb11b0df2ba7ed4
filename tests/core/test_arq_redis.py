"""arq that runs a process, and a Redis that goes away or falls silent at any of its steps."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.constants import health_check_key_suffix
from arq.worker import Worker, create_worker, func
from redis.asyncio import Redis

from app.core.process.cancel import cancel_all
from app.core.process.stop_signals import STOP_SIGNALS
from app.core.redis import arq_redis
from app.core.redis.arq_redis import QUEUE, PatientRedis, QueueRedis, arq_pool, deserialized, serialized
from app.worker import WorkerSettings
from tests.doubles.forwarder import Forwarder, forwarding
from tests.gateway import eventually

HEALTH_KEY = QUEUE + health_check_key_suffix


class Arq:
    """An arq that runs a process, with `on_startup` and `on_shutdown` of its own."""

    def __init__(self, url: str, kind: type[QueueRedis] = PatientRedis) -> None:
        self.started = self.stopped = self.rung = 0

        async def on_startup(_ctx: dict[str, Any]) -> None:
            self.started += 1

        async def on_shutdown(_ctx: dict[str, Any]) -> None:
            self.stopped += 1

        async def ring(_ctx: dict[str, Any]) -> None:
            self.rung += 1

        self.worker = Worker(
            [func(ring, name="dispatch"), func(ring, name="poll")],  # type: ignore[arg-type]
            queue_name=QUEUE,
            redis_pool=arq_pool(url, kind=kind),
            on_startup=on_startup,  # type: ignore[arg-type]
            on_shutdown=on_shutdown,  # type: ignore[arg-type]
            poll_delay=0.02,
            keep_result=0,
            max_tries=1000,
            job_serializer=serialized,
            job_deserializer=deserialized,
            health_check_interval=5,
        )
        self.worker.in_progress_timeout_s = 0.2
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
        self.running = asyncio.create_task(self.worker.async_run())

    async def runs(self) -> bool:
        """Whether it has started."""
        assert not self.running.done(), self.running.exception()
        return self.started == 1

    async def stop(self) -> None:
        """As at a signal."""
        await cancel_all([self.running])
        await self.worker.close()


@contextlib.asynccontextmanager
async def arq(url: str, kind: type[QueueRedis] = PatientRedis) -> AsyncIterator[Arq]:
    """It has started, and ends in order."""
    made = Arq(url, kind)
    try:
        yield made
    finally:
        await made.stop()
    assert made.stopped == 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arq_redis, "REDIS_SECONDS", 0.2)
    monkeypatch.setattr(arq_redis, "RECONNECT_SECONDS", 0.02)


async def rung_again(one: Arq, bell: QueueRedis) -> None:
    """Until rings reach it."""
    before = one.rung

    async def look() -> bool:
        assert await one.runs()
        await bell.enqueue_job("dispatch", _job_id="dispatch")
        return one.rung > before

    await eventually(look)


@pytest.mark.parametrize("trouble", ["cut", "hush"])
async def test_it_goes_on_whenever_redis_goes(redis_url: str, trouble: str) -> None:
    async with forwarding(redis_url) as redis, arq(redis.url) as one:
        bell = arq_pool(redis_url)
        await eventually(one.runs)
        for answers in range(1, 16):
            redis.after(answers, gone := Gone(redis, trouble))
            for task in ("dispatch", "poll"):
                await bell.enqueue_job(task, _job_id=task)
            await gone.wait()
            await asyncio.sleep(0.5)  # longer than anybody waits for an answer
            redis.mend()
            await rung_again(one, bell)
        assert (one.started, one.stopped) == (1, 0)
        await bell.aclose(close_connection_pool=True)


class Gone(asyncio.Event):
    """Redis goes when this is called; it is set then."""

    def __init__(self, redis: Forwarder, trouble: str) -> None:
        super().__init__()
        self._go = getattr(redis, trouble)

    def __call__(self) -> None:
        self._go()
        self.set()


@pytest.mark.parametrize("trouble", ["cut", "hush"])
async def test_it_starts_and_ends_without_redis(redis_url: str, trouble: str) -> None:
    async with forwarding(redis_url) as redis:
        getattr(redis, trouble)()
        async with arq(redis.url) as one:
            await eventually(one.runs)
        redis.mend()
        async with arq(redis.url) as one:
            await eventually(one.runs)
            bell = arq_pool(redis_url)
            await rung_again(one, bell)
            await bell.aclose(close_connection_pool=True)
            getattr(redis, trouble)()
            assert (one.started, one.stopped) == (1, 0)


@pytest.mark.parametrize("kind", [QueueRedis, PatientRedis])
async def test_one_that_stops_leaves_the_others_their_health_key(redis_url: str, kind: type[QueueRedis]) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.delete(HEALTH_KEY)
        async with arq(redis_url), arq(redis_url, kind) as other:

            async def said() -> bool:
                return await other.runs() and bool(await redis.exists(HEALTH_KEY))

            await eventually(said)
            await other.stop()
            assert await redis.exists(HEALTH_KEY)
            assert await redis.pttl(HEALTH_KEY) <= 6000


async def test_a_ring_is_not_left_for_long_to_a_worker_that_died_with_it(redis_url: str) -> None:
    worker = create_worker(WorkerSettings, redis_pool=arq_pool(redis_url), handle_signals=False)  # type: ignore[arg-type]
    assert worker.in_progress_timeout_s <= 11
    await worker.close()


async def test_a_task_that_is_given_up_leaves_no_noise(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()  # of what other tests have left in the queue
    async with arq(redis_url) as one, Redis.from_url(redis_url) as redis:
        await redis.zadd(QUEUE, {"poll": 1})  # without its payload, as after an eviction
        await eventually(one.runs)

        async def given_up() -> bool:
            return not await redis.zcard(QUEUE)

        await eventually(given_up)
    assert [record.message for record in caplog.records if record.levelname != "INFO"] == ["job poll expired"]
