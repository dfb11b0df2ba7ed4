"""A time limit for a command to Redis that counts Redis' delay, not that of this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

UNREAD_SECONDS = 0.05


@asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[None]:
    """Limit the block to `seconds`, which must be more than UNREAD_SECONDS. Raises TimeoutError. If this process was
    delayed, the answer may have arrived unread, so the loop reads once more before the timeout."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as bound:
        last_look = loop.call_later(seconds - UNREAD_SECONDS, lambda: bound.reschedule(loop.time() + UNREAD_SECONDS))
        try:
            yield
        finally:
            last_look.cancel()
