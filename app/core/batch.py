"""Grouping: many callers, one statement. While one group is being written, the next one gathers by itself."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import asyncpg

Item = TypeVar("Item")
Result = TypeVar("Result")

BAD_ROW = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
"""What one row can do to a whole statement; the group is then halved until the bad row fails alone."""


class Overloaded(Exception):
    """More callers wait than the group writer is willing to hold."""


class Batcher(Generic[Item, Result]):
    """Hands items to `flush` in groups of up to `size_max`, at most `lanes` groups at a time, results in order.

    `flush` answers each item with a result or an exception of its own. What it raises goes to every caller of the
    group, except for BAD_ROW, which halves the group and tries again. With `linger_seconds` a group waits that long
    for company. A caller that is cancelled leaves its item in the group.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        size_max: int,
        waiting_max: int = 100_000,
        lanes: int = 1,
        linger_seconds: float = 0.0,
    ) -> None:
        self._flush = flush
        self._size_max = size_max
        self._waiting_max = waiting_max
        self._lanes = lanes
        self._linger_seconds = linger_seconds
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._busy: set[asyncio.Task[None]] = set()

    async def put(self, item: Item) -> Result:
        """The result of this one item; raises Overloaded when too many wait, and what its flush raised."""
        return await self.post(item)

    def post(self, item: Item) -> asyncio.Future[Result]:
        """As `put`, for a caller that does not wait at once."""
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._busy) < self._lanes:
            self._busy.add(asyncio.create_task(self._drain()))
        return future

    async def drained(self) -> None:
        """Wait until nothing is waiting or under way."""
        while self._busy:
            await asyncio.wait(list(self._busy))

    async def _drain(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while self._waiting:
                if self._linger_seconds and len(self._waiting) < self._size_max:
                    await asyncio.sleep(self._linger_seconds)
                group = [self._waiting.popleft() for _ in range(min(self._size_max, len(self._waiting)))]
                await self._settle(group)
        finally:
            # in the same breath as the last look: what is posted between the two would wait for somebody else's post
            self._busy.discard(task)

    async def _settle(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._flush([item for item, _ in group])
        except BAD_ROW as error:
            if len(group) > 1:
                middle = len(group) // 2
                await self._settle(group[:middle])
                await self._settle(group[middle:])
                return
            results = [error]
        except Exception as error:  # every caller must hear of it, whatever it is
            results = [error] * len(group)
        for (_, future), result in zip(group, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
