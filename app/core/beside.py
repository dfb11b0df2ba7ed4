"""Work on large bodies beside the event loop, one at a time, so that everything else of the process goes on meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

INLINE_BYTES_MAX: Final = 128 * 1024
"""The work on smaller ones is done at once: it takes a few milliseconds."""

_THREAD: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-body")
"""One thread: several would leave the loop a smaller share of the interpreter."""


async def beside(work: Callable[[], T], *, size_bytes: int) -> T:
    """What `work`, which looks through a body of this size, gives or raises."""
    if size_bytes <= INLINE_BYTES_MAX:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_THREAD, work)
