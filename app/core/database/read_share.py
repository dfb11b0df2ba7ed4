"""Limit each tenant's share of the read connections. Further reads of a tenant wait; other tenants' reads do not."""

import asyncio
from collections import deque
from uuid import UUID

from app.core.errors import TooManyReads

WAITING_MAX = 1_000
"""How many reads of a tenant may wait in one process. One more is refused immediately."""
WAITING_SECONDS = 19.0
"""How long one of them waits: a little less than a read waits in total for the store."""


class _Line:
    """A tenant that holds connections."""

    __slots__ = ("held", "lists", "points")

    def __init__(self) -> None:
        self.held = 1
        self.points: deque[asyncio.Future[None]] = deque()
        self.lists: deque[asyncio.Future[None]] = deque()


class ReadShare:
    """Counts the connections that each tenant holds in this process. A tenant that holds none needs no memory.

    A tenant's lists may take a quarter of the connections. Reads of a single row, which are short, may take half of them, so
    that a tenant's polls do not wait for its own lists.
    """

    def __init__(self, connections: int) -> None:
        self.lists_max = max(1, connections // 4)
        self.points_max = max(1, connections // 2)
        self._lines: dict[UUID, _Line] = {}

    async def take(self, tenant_id: UUID, *, point: bool) -> None:
        """Wait until this tenant may hold one more connection. Each `take` needs a `give`. Raises TooManyReads."""
        line = self._lines.get(tenant_id)
        if line is None:
            self._lines[tenant_id] = _Line()
            return
        waiting = line.points if point else line.lists
        if not waiting and line.held < (self.points_max if point else self.lists_max):
            line.held += 1
            return
        if len(line.points) + len(line.lists) >= WAITING_MAX:
            raise TooManyReads
        await self._wait(tenant_id, waiting)

    async def _wait(self, tenant_id: UUID, waiting: deque[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            async with asyncio.timeout(WAITING_SECONDS):
                await asyncio.shield(turn)
        except BaseException as error:
            if turn.done():  # the turn came in the same moment
                self.give(tenant_id)
            else:
                waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise TooManyReads from None
            raise

    def give(self, tenant_id: UUID) -> None:
        """Return one connection. The tenant's next waiting read gets it."""
        line = self._lines[tenant_id]
        line.held -= 1
        while line.points and line.held < self.points_max:
            line.held += 1
            line.points.popleft().set_result(None)
        while line.lists and line.held < self.lists_max:
            line.held += 1
            line.lists.popleft().set_result(None)
        if not line.held:
            del self._lines[tenant_id]
