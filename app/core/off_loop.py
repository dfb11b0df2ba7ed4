"""Work on large inputs, in a thread beside the event loop.

One thread: the interpreter's lock is shared, so two would only keep the loop waiting twice as often, and the memory that
such work needs is needed once.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

INLINE_COST_MAX = 128 * 1024
"""Bytes, as `parse_cost` counts them, about a nanosecond each. Below, a change of threads takes longer than the work."""

SWITCH_SECONDS = 0.001
"""How long the event loop waits for the thread, each time it wants to go on; Python's own is 5 ms."""


def _let_the_loop_go_on() -> None:
    sys.setswitchinterval(SWITCH_SECONDS)


_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-body", initializer=_let_the_loop_go_on)


async def run_sized(
    cost: int, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """The result of `work`, which is done here where it costs little, else in the thread."""
    if cost <= INLINE_COST_MAX:
        return work(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREAD, lambda: work(*args, **kwargs))
