"""Slots: the exchanges of one kind that a process has on the wire, each in a task that nobody awaits."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from app.core.logs.log import get_logger

log = get_logger(__name__)


class Slots:
    """So many tasks at once. `freed` is called as each of them ends.

    A task that raises has left its claim as it was: that is logged, and mended when the lease runs out.
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
        """Take a slot for this."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("slots.not_recorded", slots=self.name, exc_info=error)
        self._freed()

    async def drain(self, seconds: float, *, last_words_seconds: float = 0.0) -> None:
        """Wait for what is on the wire; cancel what is not done by then, and wait a little longer for what it has to say."""
        if not self._tasks:
            return
        _done, late = await asyncio.wait(list(self._tasks), timeout=seconds)
        for task in late:
            task.cancel()
        if late and last_words_seconds:
            await asyncio.wait(late, timeout=last_words_seconds)

    def cut(self) -> None:
        """Cancel what is on the wire; a `drain` that waits for it goes on."""
        for task in self._tasks:
            task.cancel()
