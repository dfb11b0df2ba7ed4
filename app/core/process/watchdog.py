"""A thread that ends the process if its event loop was blocked for too long, since its leases have then expired.

It does not end a process that was only stopped (SIGSTOP, a suspended machine): then the thread was stopped, too.
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
    """Watches the loop on which it is started. Calls `die` if the loop is blocked for more than `blocked_seconds_max`, not
    counting time in which the thread was stopped."""

    def __init__(self, *, blocked_seconds_max: float, die: Callable[[], None] = _die) -> None:
        self._blocked_seconds_max = blocked_seconds_max
        self._die = die
        self._beat_at = time.monotonic()
        self._ended = threading.Event()

    def start(self) -> None:
        """Start to watch the running loop."""
        self._loop = asyncio.get_running_loop()
        self._beat()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _beat(self) -> None:
        self._beat_at = time.monotonic()
        if not self._ended.is_set():
            self._loop.call_later(TICK_SECONDS, self._beat)

    def _watch(self) -> None:
        awake = 0.0  # seconds since the last beat in which this thread itself ran
        seen_beat, seen_at = self._beat_at, time.monotonic()
        while not self._ended.wait(TICK_SECONDS):
            now = time.monotonic()
            awake = 0.0 if self._beat_at != seen_beat else awake + min(now - seen_at, 2 * TICK_SECONDS)
            seen_beat, seen_at = self._beat_at, now
            if awake > self._blocked_seconds_max:
                log.error("loop.blocked", seconds=round(now - self._beat_at, 1))
                self._die()
                return
