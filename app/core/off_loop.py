"""Work on large inputs in a thread, so that the event loop is not blocked.

There is one thread. Threads share the interpreter's lock, so with two the loop would wait twice as often. One thread also
needs the memory for such work only once.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

INLINE_COST_MAX = 128 * 1024
"""Bytes as `parse_cost` counts them, about a nanosecond each. Less work takes less time than a change of threads."""

SWITCH_SECONDS = 0.001
"""How long the event loop waits until the thread releases the interpreter. Python's default is 5 ms."""


def _let_the_loop_go_on() -> None:
    sys.setswitchinterval(SWITCH_SECONDS)


_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-body", initializer=_let_the_loop_go_on)


async def run_sized(
    cost: int, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Return the result of `work`. It runs here if its `cost` is small, else in the thread."""
    if cost <= INLINE_COST_MAX:
        return work(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREAD, lambda: work(*args, **kwargs))
