"""Notifications through Redis ("rings"): there may be work, or a job has ended. Redis may fail or lose data at any time.

A notification of work is published, so that workers get it immediately, and also enqueued as a task of arq, for workers that
missed the message. Nothing here raises if Redis fails. A sweep finds the work of lost notifications.
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
from app.core.redis.subscription import REDIS_SECONDS, RIGHTS, UNAVAILABLE_ERRORS, subscribe

log = get_logger(__name__)

Task = Literal["dispatch", "poll", "deliver"]
"""Names of arq's tasks for notifications."""
TASKS: Final[tuple[Task, ...]] = get_args(Task)

FINISHED = "waystation:finished"
WAKE = "waystation:roused"
RUNG = "waystation:rung"
"""Channels. RUNG gets a colon and the number of the database, since Redis shares channels between databases, and another
installation must not wake our workers. RUNG with a task's name is a key: the worker that deletes it takes the notification."""
UNTAKEN_SECONDS = 5
"""How long a worker can take a notification. After that a sweep has run."""
RING_GAP_SECONDS = 0.05
"""A process sends the first notification of a task immediately, and those within this time as one message."""
TAKE_GAP_SECONDS = 0.05
"""The shortest time between two takes of a worker. A claim costs about the same for one job as for ten."""
ARQ_GAP_SECONDS = 0.25
"""RING_GAP_SECONDS for arq's tasks, which cost more and are polled less often."""
CLOSE_SECONDS = 0.5


class Doorbell:
    """Sends and receives the notifications of one process."""

    def __init__(self, url: str, *, on_ended: Callable[[], None] | None = None) -> None:
        """`on_ended`: called, instead of a notification to a worker, if webhooks are due for jobs that ended here."""
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
        """Notify one worker that there may be work."""
        self._published.give(task)
        self._enqueued.give(task)

    def announce(self, job_ids: Iterable[UUID], *, due: bool | None = None) -> None:
        """Notify waiting clients that these jobs have ended, and a worker if webhooks are `due` (None: maybe)."""
        message = b"".join(job_id.bytes for job_id in job_ids)
        if message:
            self._start(self._publish(FINISHED, message))
        if not (bool(message) if due is None else due):
            return
        if self._on_ended is not None:
            self._on_ended()
        else:
            self.ring("deliver")

    def wake_workers(self) -> None:
        """Notify all workers of work after an idle time. They must be awake to notice if the worker that takes it dies."""
        self._start(self._publish(WAKE, b"1"))

    async def listen(self, heard: Callable[[list[UUID]], None]) -> None:
        """Call `heard` with ids of jobs that ended, until cancelled. Reconnects automatically."""

        def told(_channel: str, data: bytes) -> None:
            # an incomplete id is not ours
            heard([UUID(bytes=data[at : at + 16]) for at in range(0, len(data) - 15, 16)])

        await subscribe(self._url, [FINISHED], told)

    async def listen_rings(
        self,
        *,
        woken: Callable[[], None],
        rung: Callable[[Task], None],
        has_room: Callable[[Task], bool],
        connected: Callable[[bool], None],
    ) -> None:
        """Receive notifications of work, until cancelled. Reconnects automatically. `woken`: there is work for any worker.
        `rung`: this process has taken a notification of this task. `has_room`: false leaves notifications of a task to
        others. `connected`: as in `subscribe`."""
        rings = RingTaker(self._take, rung, has_room)

        def told(channel: str, data: bytes) -> None:
            if channel == WAKE:
                woken()
            elif (name := data.decode(errors="replace")) in TASKS:
                if name != "deliver":
                    woken()
                rings.hear(name)

        async with asyncio.TaskGroup() as both:
            both.create_task(rings.run())
            both.create_task(subscribe(self._url, [WAKE, self._rung], told, connected=connected))

    async def reachable(self) -> bool:
        """Return whether Redis answers."""
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._arq.ping()
        except UNAVAILABLE_ERRORS:
            return False
        return True

    async def close(self) -> None:
        """Wait briefly for messages that are being sent, then disconnect."""
        await asyncio.gather(self._published.flush(CLOSE_SECONDS), self._enqueued.flush(CLOSE_SECONDS))
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=CLOSE_SECONDS)
        with contextlib.suppress(*UNAVAILABLE_ERRORS):
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
            # one waiting task of a kind is enough: workers poll again after arq has removed it
            await self._arq.enqueue_job(task, _job_id=task)

    async def _publish(self, channel: str, message: bytes) -> None:
        with self._noting(channel):
            await self._arq.publish(channel, message)

    async def _take(self, tasks: Sequence[Task]) -> list[Task]:
        """Take notifications. Returns those that no other worker took, or all if Redis does not answer."""
        try:
            async with self._arq.pipeline(transaction=False) as pipe:
                for task in tasks:
                    pipe.delete(f"{RUNG}:{task}")
                deleted = await pipe.execute()
        except UNAVAILABLE_ERRORS:
            return list(tasks)
        return [task for task, number in zip(tasks, deleted, strict=True) if number]

    @contextlib.contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """Log errors if Redis is unreachable, or refuses this channel or queue. Does not raise them."""
        try:
            yield
        except NoPermissionError as error:
            refused = self._refused.setdefault(name, Outage(log, begun="redis.refused", over="redis.allowed"))
            refused.met(name=name, cause=repr(error), mend=RIGHTS)
        except UNAVAILABLE_ERRORS as error:
            self._away.met(cause=repr(error))
        else:
            self._away.passed()
            if name in self._refused:
                self._refused[name].passed(name=name)


class RingTaker:
    """Takes received notifications, each for one worker only. After an idle time it takes one immediately. Those that arrive
    during a take, or within TAKE_GAP_SECONDS after, are taken together."""

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
        """Note a received notification."""
        self._heard.add(task)
        self._some.set()

    async def run(self) -> None:
        """Take notifications until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            tasks = [task for task in self._heard if self._has_room(task)]
            self._heard.clear()
            if tasks:
                for task in await self._take(tasks):
                    self._rung(task)
                await asyncio.sleep(TAKE_GAP_SECONDS)
