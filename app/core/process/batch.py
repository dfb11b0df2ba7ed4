"""Write the items of many callers with one statement. While one group is written, the next group collects."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import asyncpg

from app.core import clock

Item = TypeVar("Item")
Result = TypeVar("Result")
Waiting = tuple[Item, asyncio.Future[Result]]

BAD_ROW = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
"""Errors that one row causes for the whole statement. The group is then halved until the bad row fails alone."""


LARGE_MAX = 4
"""Large items that are written at a time."""
APART_MAX = 2
"""Keys that are written apart at a time. The others wait until one of these ends."""
APART_SECONDS = 15.0
"""How long an item is retried whose write apart is answered with WriteApart. A batcher may set another time."""
AGAIN_SECONDS, AGAIN_SECONDS_MAX = 0.01, 0.5
"""The pause between two such tries. It doubles."""


class Overloaded(Exception):
    """Too many items wait, in total or of one key."""


class WriteApart(Exception):
    """A flush's answer for an item that it did not write. It must be written only with items of its key."""

    def __init__(self, instead: Exception) -> None:
        """`instead`: the caller gets this error if that is not possible within APART_SECONDS."""
        super().__init__()
        self.instead = instead


class Batcher(Generic[Item, Result]):
    """Passes items to `flush` in groups of up to `size_max`, at most `lanes` groups at a time.

    `flush` returns a result or an exception for each item, in order. If it raises, every caller of the group gets the error;
    for BAD_ROW the group is halved and retried instead. With `linger_seconds` a group waits that long for more items, unless
    `coming` says that none will come. With `pause_seconds` at least that time lies between the starts of two groups: an item
    after an idle time is written immediately, and many items in few groups. If a caller is cancelled, its item stays.

    With a `key`, two groups never hold items of the same key at a time, since they would wait for each other in the database.
    Keys take turns, so that many items of one key do not delay others. One key may have only as many waiting items as there
    is room left. Slow items delay no others: an item that is `large` is written alone, outside the lanes. So are the items of
    a key that `flush` answers with WriteApart: `apart` writes them, and if it answers the same, they are retried later.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        size_max: int,
        waiting_max: int = 100_000,
        lanes: int = 1,
        linger_seconds: float = 0.0,
        coming: Callable[[], bool] | None = None,
        pause_seconds: float = 0.0,
        key: Callable[[Item], Hashable] | None = None,
        large: Callable[[Item], bool] | None = None,
        apart: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]] | None = None,
        apart_seconds: float | None = None,
    ) -> None:
        self._flush = flush
        self._size_max = size_max
        self._waiting_max = waiting_max
        self._lanes = lanes
        self._linger_seconds = linger_seconds
        self._coming = coming
        self._pause_seconds = pause_seconds
        self._paused_until = 0.0
        self._key = key
        self._large = large
        self._apart = apart or flush
        self._apart_seconds = apart_seconds
        self._apart_slots = asyncio.Semaphore(APART_MAX)
        self._waiting: dict[Hashable, deque[Waiting[Item, Result]]] = {}
        self._count = 0
        self._under_way: Counter[Hashable] = Counter()
        self._busy: set[asyncio.Task[None]] = set()
        self._beside: set[asyncio.Task[None]] = set()
        self._large_count = 0

    async def put(self, item: Item) -> Result:
        """Write one item and return its result. Raises Overloaded if too many wait, and what its flush raised."""
        return await self.post(item)

    def post(self, item: Item) -> asyncio.Future[Result]:
        """Like `put`, for a caller that awaits the result later."""
        key = self._key(item) if self._key is not None else None
        room = self._waiting_max - self._count
        if room <= 0 or (self._key is not None and len(self._waiting.get(key, ())) >= room):
            raise Overloaded
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append((item, future))
        self._count += 1
        self._begin()
        return future

    async def drained(self) -> None:
        """Wait until no item waits or is being written."""
        while tasks := self._busy | self._beside:
            await asyncio.wait(tasks)

    def _begin(self) -> None:
        if self._count and len(self._busy) < self._lanes:
            self._busy.add(asyncio.create_task(self._drain()))

    async def _drain(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while self._count:
                linger_seconds = self._linger_seconds if self._coming is None or self._coming() else 0.0
                wait_seconds = max(linger_seconds, self._paused_until - clock.monotonic())
                if wait_seconds > 0 and self._count < self._size_max:
                    await asyncio.sleep(wait_seconds)
                self._paused_until = clock.monotonic() + self._pause_seconds
                self._take_large()
                group = self._take()
                if not group:  # the waiting items are large, or their keys are busy: the task that ends takes them
                    break
                await self._write(group, self._enter(group))
        finally:
            # no await since the last check of `_count`: an item posted in between would wait for the next post
            self._busy.discard(task)

    def _take(self) -> list[Waiting[Item, Result]]:
        """Take the next group: one item of each key that is not busy, then one more of each, until the group is full."""
        group: list[Waiting[Item, Result]] = []
        free = [key for key in self._waiting if not self._under_way[key] and not self._is_large(key)]
        while free and len(group) < self._size_max:
            group += [self._pop(key) for key in free[: self._size_max - len(group)]]
            free = [key for key in free if key in self._waiting and not self._is_large(key)]
        return group

    def _take_large(self) -> None:
        if self._large is not None:
            for key in list(self._waiting):
                if self._large_count < LARGE_MAX and not self._under_way[key] and self._is_large(key):
                    group = [self._pop(key)]
                    self._large_count += 1
                    self._begin_beside(self._write_large(group, self._enter(group)))

    def _is_large(self, key: Hashable) -> bool:
        """Return whether the first waiting item of this key is large."""
        return self._large is not None and self._large(self._waiting[key][0][0])

    def _pop(self, key: Hashable) -> Waiting[Item, Result]:
        waiting = self._waiting.pop(key)
        first = waiting.popleft()
        if waiting:
            self._waiting[key] = waiting  # after the other keys
        self._count -= 1
        return first

    def _enter(self, group: list[Waiting[Item, Result]]) -> set[Hashable]:
        """Return the keys of a group, and mark them as busy."""
        keys = {self._key(item) for item, _ in group} if self._key is not None else set()
        self._under_way.update(keys)
        return keys

    def _leave(self, keys: set[Hashable]) -> None:
        for key in keys:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

    async def _write(self, group: list[Waiting[Item, Result]], keys: set[Hashable]) -> None:
        try:
            for part in self._by_key(await self._settle(group, self._flush)):
                self._begin_beside(self._write_apart(part, self._enter(part)))
        finally:
            self._leave(keys)

    async def _write_large(self, group: list[Waiting[Item, Result]], keys: set[Hashable]) -> None:
        try:
            await self._write(group, keys)
        finally:
            self._large_count -= 1

    async def _write_apart(self, group: list[Waiting[Item, Result]], keys: set[Hashable]) -> None:
        give_up_at = clock.monotonic() + (APART_SECONDS if self._apart_seconds is None else self._apart_seconds)
        pause_seconds = AGAIN_SECONDS
        try:
            while True:
                async with self._apart_slots:
                    group = await self._settle(group, self._apart, again=clock.monotonic() < give_up_at)
                if not group:
                    return
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, AGAIN_SECONDS_MAX)
        finally:
            self._leave(keys)

    def _begin_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._ended_beside)

    def _ended_beside(self, task: asyncio.Task[None]) -> None:
        self._beside.discard(task)
        self._begin()

    def _by_key(self, group: list[Waiting[Item, Result]]) -> Iterable[list[Waiting[Item, Result]]]:
        parts: dict[Hashable, list[Waiting[Item, Result]]] = {}
        for item in group:
            parts.setdefault(self._key(item[0]) if self._key is not None else None, []).append(item)
        return parts.values()

    async def _settle(
        self,
        group: list[Waiting[Item, Result]],
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        again: bool = True,
    ) -> list[Waiting[Item, Result]]:
        """Write items and answer their callers. Returns the items that must be written apart, if they may be tried `again`."""
        try:
            results = await flush([item for item, _ in group])
        except BAD_ROW as error:
            if len(group) > 1:
                middle = len(group) // 2
                first = await self._settle(group[:middle], flush, again=again)
                return first + await self._settle(group[middle:], flush, again=again)
            results = [error]
        except Exception as error:  # every caller must get the error
            results = [error] * len(group)
        apart: list[Waiting[Item, Result]] = []
        for (item, future), result in zip(group, results, strict=True):
            if isinstance(result, WriteApart) and again:
                apart.append((item, future))
            elif future.done():
                continue
            elif isinstance(result, Exception):
                future.set_exception(result.instead if isinstance(result, WriteApart) else result)
            else:
                future.set_result(result)
        return apart
