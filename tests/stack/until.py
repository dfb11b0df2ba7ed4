"""Waiting for what other processes do."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from app.core.clock import monotonic


async def until(holds: Callable[[], object], *, seconds: float = 240) -> float:
    """Return once `holds`, with the seconds it took; fail the test after `seconds`."""
    began = monotonic()
    while not holds():
        assert monotonic() - began < seconds, f"still not so after {seconds} s"
        await asyncio.sleep(0.01)
    return monotonic() - began


async def until_count(count: Callable[[], int], at_least: int, *, seconds: float = 240) -> float:
    """`until` a count has got that far."""
    return await until(lambda: count() >= at_least, seconds=seconds)


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has gone since; or this system has no /proc
        return not Path("/proc/self").exists()
    return stat.rpartition(")")[2].split()[0] != "Z"
