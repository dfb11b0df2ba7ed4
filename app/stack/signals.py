"""Stopping in order when told to."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def interruptible(work: Coroutine[Any, Any, T], *, hurry: Callable[[], None]) -> T | None:
    """The outcome of `work`, or None where SIGINT, SIGTERM or SIGHUP ended it.

    The first signal cancels it, and its `finally` blocks take the time they need; each further one calls `hurry`.
    """
    task = asyncio.create_task(work)
    interrupted = False

    def on_signal() -> None:
        nonlocal interrupted
        if interrupted:
            hurry()
        else:
            interrupted = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for signal_ in _STOPPING:
        loop.add_signal_handler(signal_, on_signal)
    try:
        return await task
    except asyncio.CancelledError:
        if not interrupted:
            raise
        return None
    finally:
        for signal_ in _STOPPING:
            loop.remove_signal_handler(signal_)
