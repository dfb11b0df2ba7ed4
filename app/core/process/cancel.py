"""End the background tasks of a process, also if a library swallows a cancellation."""

import asyncio
from collections.abc import Iterable

from app.core.logs.log import get_logger

log = get_logger(__name__)

AGAIN_SECONDS = 0.5
GIVE_UP_SECONDS = 5.0


async def cancel_all(running: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel tasks and wait for them, at most GIVE_UP_SECONDS. Their exceptions are ignored.

    It repeats the cancellation: arq and redis sometimes take one for their own timeout, and continue.
    """
    left = {task for task in running if not task.done()}
    for _ in range(round(GIVE_UP_SECONDS / AGAIN_SECONDS)):
        for one in left:
            one.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
    for task in left:
        log.error("task.not_canceled", coroutine=getattr(task.get_coro(), "__qualname__", None))
