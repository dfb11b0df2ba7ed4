"""Send equal messages with a minimum gap: the first immediately, later ones grouped."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


class Spaced(Generic[Name]):
    """Sends a name immediately. If it is given again before it is sent, or within `gap_seconds` after, it is sent once more
    at the end of that time. `send` must not raise."""

    def __init__(self, send: Callable[[Name], Awaitable[None]], *, gap_seconds: float) -> None:
        self._send = send
        self._gap_seconds = gap_seconds
        self._resting: set[Name] = set()
        self._again: set[Name] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def give(self, name: Name) -> None:
        """Send the name, now or at the end of its gap."""
        if name in self._resting:
            self._again.add(name)
            return
        self._resting.add(name)
        task = asyncio.create_task(self._send_and_rest(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def flush(self, seconds: float) -> None:
        """Send all waiting names now, and wait at most `seconds` for the messages that are being sent."""
        waiting, self._again = self._again, set()
        self._resting -= waiting
        for name in waiting:
            self.give(name)
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=seconds)

    async def _send_and_rest(self, name: Name) -> None:
        try:
            await self._send(name)
        finally:
            asyncio.get_running_loop().call_later(self._gap_seconds, self._rested, name)

    def _rested(self, name: Name) -> None:
        self._resting.discard(name)
        if name in self._again:
            self._again.discard(name)
            self.give(name)
