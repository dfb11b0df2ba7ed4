"""Ending what runs beside the main line of a process, also where a cancellation gets lost on the way."""

import asyncio
from collections.abc import Iterable

from app.core.log import get_logger

log = get_logger(__name__)

AGAIN_SECONDS = 0.5
GIVE_UP_SECONDS = 5.0


async def cancel_all(running: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel these and wait for their ends, at most some seconds; what they raise is theirs.

    Again and again: arq and redis now and then take a cancellation for a time-out of their own, and go on.
    """
    left = {one for one in running if not one.done()}
    for _ in range(round(GIVE_UP_SECONDS / AGAIN_SECONDS)):
        for one in left:
            one.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
    for one in left:
        log.error("task.not_canceled", coroutine=getattr(one.get_coro(), "__qualname__", None))
