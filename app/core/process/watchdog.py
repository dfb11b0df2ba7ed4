"""A thread that ends the process when its event loop has been blocked for too long: leases it holds are worth nothing.

A process that was merely stopped (SIGSTOP, a suspended machine) is let live: the thread was stopped just as long.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable

from app.core.logs.log import get_logger

log = get_logger(__name__)

EXIT_CODE = 70
TICK_SECONDS = 0.25


def _die() -> None:
    os._exit(EXIT_CODE)


class Watchdog:
    """Watches the loop it is started on; `blocked_seconds_max` of lag, while the thread itself ran on, is death."""

    def __init__(self, *, blocked_seconds_max: float, die: Callable[[], None] = _die) -> None:
        self._blocked_seconds_max = blocked_seconds_max
        self._die = die
        self._beat_at = time.monotonic()
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin watching the running loop."""
        self._loop = asyncio.get_running_loop()
        self._beat()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._ended.set()

    def _beat(self) -> None:
        self._beat_at = time.monotonic()
        if not self._ended.is_set():
            self._loop.call_later(TICK_SECONDS, self._beat)

    def _watch(self) -> None:
        awake = 0.0  # seconds since the last beat in which this thread was running, too
        seen_beat, seen_at = self._beat_at, time.monotonic()
        while not self._ended.wait(TICK_SECONDS):
            now = time.monotonic()
            awake = 0.0 if self._beat_at != seen_beat else awake + min(now - seen_at, 2 * TICK_SECONDS)
            seen_beat, seen_at = self._beat_at, now
            if awake > self._blocked_seconds_max:
                log.error("loop.blocked", seconds=round(now - self._beat_at, 1))
                self._die()
                return
