"""Redis as a doorbell: it says that there may be work, or that a job has ended, and may be emptied or gone at any time.

Nothing here raises or waits for Redis; every ring has a sweep behind it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Literal
from uuid import UUID

import orjson
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from app.core.grouped_log import Outage
from app.core.log import get_logger
from app.core.redis_pool import open_pool, open_redis

log = get_logger(__name__)

Task = Literal["dispatch", "poll", "deliver"]
"""Names of the arq tasks that can be rung."""

QUEUE = "waystation:tasks"
FINISHED = "waystation:finished"
ROUSED = "waystation:roused"
RING_GAP_SECONDS = 0.02
"""Rings of one process for one task within this time are one ring."""
REDIS_SECONDS = 2.0
CONNECTIONS_MAX = 32
"""What one process opens at most; a Redis that is silent would otherwise be given one more for every message."""
RECONNECT_SECONDS = 0.5
AWAY = (RedisError, OSError, TimeoutError)


def serialized(value: dict[str, object]) -> bytes:
    """arq's payloads as JSON: its default, pickle, lets whoever can write to Redis run code here."""
    return orjson.dumps(value)


def deserialized(value: bytes) -> dict[str, object]:
    """The other way round."""
    loaded: dict[str, object] = orjson.loads(value)
    return loaded


def arq_pool(url: str) -> ArqRedis:
    """Connections for arq: no retries, and no waiting for a Redis that is silent, since the sweep stands in for it."""
    pool = open_pool(
        url,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        max_connections=CONNECTIONS_MAX,
    )
    return ArqRedis(
        connection_pool=pool,
        job_serializer=serialized,
        job_deserializer=deserialized,
        default_queue_name=QUEUE,
    )


class Doorbell:
    """One process's hand on the bell."""

    def __init__(self, url: str, *, on_ended: Callable[[], None] | None = None) -> None:
        """`on_ended`: told of jobs that ended here, in place of some worker: their webhooks are due."""
        self._arq = arq_pool(url)
        self._on_ended = on_ended
        self._url = url
        self._ringing: set[Task] = set()
        self._again: set[Task] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._away = Outage(log, begun="redis.away", over="redis.back")

    def ring(self, task: Task) -> None:
        """Tell some worker that there may be work."""
        if task in self._ringing:
            self._again.add(task)
        else:
            self._ringing.add(task)
            self._start(self._ring(task))

    def announce(self, job_ids: Iterable[UUID], *, due: bool | None = None) -> None:
        """Tell whoever waits that these jobs have ended, and a worker where webhooks are `due` by it; None: perhaps."""
        message = b"".join(job_id.bytes for job_id in job_ids)
        if message:
            self._start(self._publish(FINISHED, message))
        if not (bool(message) if due is None else due):
            return
        if self._on_ended is not None:
            self._on_ended()
        else:
            self.ring("deliver")

    def rouse(self) -> None:
        """Tell all workers that there is work again after a lull: should its taker die, they must be awake to see it."""
        self._start(self._publish(ROUSED, b"1"))

    async def listen(self, heard: Callable[[list[UUID]], None]) -> None:
        """Hear of ended jobs, until cancelled; connects again by itself."""
        await self._subscribe(
            FINISHED, lambda data: heard([UUID(bytes=data[at : at + 16]) for at in range(0, len(data), 16)])
        )

    async def listen_roused(self, heard: Callable[[], None]) -> None:
        """Hear that there is work again, until cancelled; connects again by itself."""
        await self._subscribe(ROUSED, lambda _data: heard())

    async def _subscribe(self, channel: str, heard: Callable[[bytes], None]) -> None:
        while True:
            try:
                async with (
                    open_redis(self._url, socket_connect_timeout=REDIS_SECONDS) as redis,
                    redis.pubsub() as pubsub,
                ):
                    await pubsub.subscribe(channel)
                    async for message in pubsub.listen():
                        if message["type"] == "message":
                            heard(message["data"])
            except AWAY as error:
                self._note_away(error)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def reachable(self) -> bool:
        """Whether Redis answers."""
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._arq.ping()
        except AWAY:
            return False
        return True

    async def close(self) -> None:
        """Let what is under way end, briefly, and disconnect."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=0.5)
        with contextlib.suppress(*AWAY):
            await self._arq.aclose(close_connection_pool=True)

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ring(self, task: Task) -> None:
        try:
            while True:
                self._again.discard(task)
                # one waiting ring of a kind is enough; its task looks once more after arq has forgotten it
                await self._arq.enqueue_job(task, _job_id=task)
                self._away.passed()
                await asyncio.sleep(RING_GAP_SECONDS)
                if task not in self._again:
                    break
        except AWAY as error:
            self._note_away(error)
        finally:
            self._ringing.discard(task)

    async def _publish(self, channel: str, message: bytes) -> None:
        try:
            await self._arq.publish(channel, message)
            self._away.passed()
        except AWAY as error:
            self._note_away(error)

    def _note_away(self, error: BaseException) -> None:
        self._away.met(cause=repr(error))
