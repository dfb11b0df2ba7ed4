"""Stop in order on a signal."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from app.core.process.stop_signals import STOP_SIGNALS, stop_signals

T = TypeVar("T")


async def interruptible(work: Coroutine[Any, Any, T], *, hurry: Callable[[], None]) -> T | None:
    """Run `work`. Return its result; None if SIGINT, SIGTERM or SIGHUP ended it.

    The first signal cancels it; its `finally` blocks take the time that they need. A later signal calls `hurry`.
    """
    task = asyncio.create_task(work)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        task.cancel()

    with stop_signals(first=interrupt, again=hurry, numbers=(*STOP_SIGNALS, signal.SIGHUP)):
        try:
            return await task
        except asyncio.CancelledError:
            if not interrupted:
                raise
            return None
