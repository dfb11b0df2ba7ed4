"""Redis as a doorbell: it says that there may be work, or that a job has ended, and may be emptied or gone at any time.

A ring is told twice. It is published, so that workers hear it at once; and it is a task of arq's, which is found a little
later by those who did not hear it. Nothing here raises or waits for Redis; every ring has a sweep behind it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final, Literal, get_args
from uuid import UUID

from redis.exceptions import NoPermissionError

from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger
from app.core.process.spaced import Spaced
from app.core.redis.arq_redis import QUEUE, arq_pool
from app.core.redis.subscription import AWAY, REDIS_SECONDS, RIGHTS, subscribe

log = get_logger(__name__)

Task = Literal["dispatch", "poll", "deliver"]
"""Names of the arq tasks that can be rung."""
TASKS: Final[tuple[Task, ...]] = get_args(Task)

FINISHED = "waystation:finished"
ROUSED = "waystation:roused"
RUNG = "waystation:rung"
"""Channels. RUNG is followed by a colon and the number of the database: Redis has the same channels for all of them, and
another installation's rings would wake our workers. With a task's name it is the key that one worker deletes: the one that
follows the ring."""
UNTAKEN_SECONDS = 5
"""How long a ring waits for somebody to follow it; then there has been a sweep."""
RING_GAP_SECONDS = 0.05
"""Rings of one process for one task within this time are one message, beside the first, which goes at once."""
TAKE_GAP_SECONDS = 0.05
"""A worker follows rings no more often: a claim costs about the same for one job as for ten."""
ARQ_GAP_SECONDS = 0.25
"""The same for arq's tasks, which cost more and are looked for less often."""
CLOSE_SECONDS = 0.5


class Doorbell:
    """One process's hand on the bell."""

    def __init__(self, url: str, *, on_ended: Callable[[], None] | None = None) -> None:
        """`on_ended`: told of jobs that ended here, in place of some worker: their webhooks are due."""
        self._arq = arq_pool(url)
        self._on_ended = on_ended
        self._url = url
        self._rung = f"{RUNG}:{self._arq.connection_pool.connection_kwargs.get('db') or 0}"
        self._published = Spaced(self._publish_ring, gap_seconds=RING_GAP_SECONDS)
        self._enqueued = Spaced(self._enqueue, gap_seconds=ARQ_GAP_SECONDS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._away = Outage(log, begun="redis.away", over="redis.back")
        self._refused: dict[str, Outage] = {}

    def ring(self, task: Task) -> None:
        """Tell some worker that there may be work."""
        self._published.give(task)
        self._enqueued.give(task)

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

        def told(_channel: str, data: bytes) -> None:
            # what somebody else may have published there ends nothing
            heard([UUID(bytes=data[at : at + 16]) for at in range(0, len(data) - 15, 16)])

        await subscribe(self._url, [FINISHED], told)

    async def listen_rings(
        self,
        *,
        roused: Callable[[], None],
        rung: Callable[[Task], None],
        has_room: Callable[[Task], bool],
        connected: Callable[[bool], None],
    ) -> None:
        """Hear of work, until cancelled; connects again by itself. `roused`: there is work again, for whomever. `rung`: there
        may be work of this kind, and it is for this process to look; for another one, where this one has no room.
        `connected` as in `subscribe`."""
        rings = RingTaker(self._take, rung, has_room)

        def told(channel: str, data: bytes) -> None:
            if channel == ROUSED:
                roused()
            elif (name := data.decode(errors="replace")) in TASKS:
                if name != "deliver":
                    roused()
                rings.hear(name)

        async with asyncio.TaskGroup() as both:
            both.create_task(rings.run())
            both.create_task(subscribe(self._url, [ROUSED, self._rung], told, connected=connected))

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
        await asyncio.gather(self._published.flush(CLOSE_SECONDS), self._enqueued.flush(CLOSE_SECONDS))
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=CLOSE_SECONDS)
        with contextlib.suppress(*AWAY):
            await self._arq.aclose(close_connection_pool=True)

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish_ring(self, task: Task) -> None:
        with self._noting(self._rung):
            async with self._arq.pipeline(transaction=False) as pipe:
                pipe.set(f"{RUNG}:{task}", b"1", ex=UNTAKEN_SECONDS)
                pipe.publish(self._rung, task)
                await pipe.execute()

    async def _enqueue(self, task: Task) -> None:
        with self._noting(QUEUE):
            # one waiting ring of a kind is enough: workers look once more after arq has forgotten it
            await self._arq.enqueue_job(task, _job_id=task)

    async def _publish(self, channel: str, message: bytes) -> None:
        with self._noting(channel):
            await self._arq.publish(channel, message)

    async def _take(self, tasks: Sequence[Task]) -> list[Task]:
        """Those of these rings that no other worker has taken; all of them where Redis does not say."""
        try:
            async with self._arq.pipeline(transaction=False) as pipe:
                for task in tasks:
                    pipe.delete(f"{RUNG}:{task}")
                deleted = await pipe.execute()
        except AWAY:
            return list(tasks)
        return [task for task, number in zip(tasks, deleted, strict=True) if number]

    @contextlib.contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """Whether Redis is away, or refuses what is to be told by this channel or queue."""
        try:
            yield
        except NoPermissionError as error:
            refused = self._refused.setdefault(name, Outage(log, begun="redis.refused", over="redis.allowed"))
            refused.met(name=name, cause=repr(error), mend=RIGHTS)
        except AWAY as error:
            self._away.met(cause=repr(error))
        else:
            self._away.passed()
            if name in self._refused:
                self._refused[name].passed(name=name)


class RingTaker:
    """Rings that were heard and are for one worker alone to follow. One after a rest is taken at once; those that come while
    some are being taken, or within TAKE_GAP_SECONDS after, are taken together."""

    def __init__(
        self,
        take: Callable[[Sequence[Task]], Awaitable[list[Task]]],
        rung: Callable[[Task], None],
        has_room: Callable[[Task], bool],
    ) -> None:
        self._take = take
        self._rung = rung
        self._has_room = has_room
        self._heard: set[Task] = set()
        self._some = asyncio.Event()

    def hear(self, task: Task) -> None:
        """Somebody rang."""
        self._heard.add(task)
        self._some.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            tasks = [task for task in self._heard if self._has_room(task)]
            self._heard.clear()
            if tasks:
                for task in await self._take(tasks):
                    self._rung(task)
                await asyncio.sleep(TAKE_GAP_SECONDS)
