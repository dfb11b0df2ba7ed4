"""Handle SIGTERM and SIGINT: the first stops a process cleanly, a later one without waiting longer."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from app.core import clock

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
AGAIN_SECONDS = 1.0
"""Signals within this time after the first are ignored. A launcher such as `uv run`, or systemd, which signals all processes
of a unit, may cause two."""


@contextlib.contextmanager
def stop_signals(
    *, first: Callable[[], None], again: Callable[[], None], numbers: Sequence[signal.Signals] = STOP_SIGNALS
) -> Iterator[None]:
    """Within the block the running loop calls `first` at the first of these signals, and `again` at each signal at least
    AGAIN_SECONDS later. Call it in the main thread."""
    first_at: float | None = None

    def told() -> None:
        nonlocal first_at
        if first_at is None:
            first_at = clock.monotonic()
            first()
        elif clock.monotonic() >= first_at + AGAIN_SECONDS:
            again()

    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        loop.add_signal_handler(number, told)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


def exit_when_told() -> None:
    """Let these signals end the process with exit code 0, while it starts and has no work to finish."""
    for number in STOP_SIGNALS:
        signal.signal(number, _exit)


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # SystemExit is lost in the callback of a weak reference, and imports have many of these
