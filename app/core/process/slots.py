"""Slots limit how many exchanges of one kind a process runs at a time. Each exchange runs in a background task."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from app.core.logs.log import get_logger

log = get_logger(__name__)


class Slots:
    """Runs at most `number` tasks at a time. `freed` is called when a task ends.

    A task that raises has not recorded its claim. That is logged, and handled after the lease expiration.
    """

    def __init__(self, name: str, number: int, *, freed: Callable[[], None]) -> None:
        self.name = name
        self._number = number
        self._freed = freed
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def free(self) -> int:
        """How many more may be started."""
        return self._number - len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a slot."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("slots.not_recorded", slots=self.name, exc_info=error)
        self._freed()

    async def drain(self, seconds: float, *, cancel_seconds: float = 0.0) -> None:
        """Wait up to `seconds` for the tasks. Cancel the rest, and wait `cancel_seconds` for their ends."""
        if not self._tasks:
            return
        _done, late = await asyncio.wait(list(self._tasks), timeout=seconds)
        for task in late:
            task.cancel()
        if late and cancel_seconds:
            await asyncio.wait(late, timeout=cancel_seconds)

    def cut(self) -> None:
        """Cancel all tasks. A `drain` that waits for them continues."""
        for task in self._tasks:
            task.cancel()
