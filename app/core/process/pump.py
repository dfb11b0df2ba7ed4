"""A loop that runs a step after a notification, after a time set by the step, and again after it found work."""

import asyncio
import math
from collections.abc import Awaitable, Callable

from app.core import clock
from app.core.errors import StoreUnavailable
from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger

log = get_logger(__name__)

ERROR_SECONDS_MIN = 0.1
ERROR_SECONDS_MAX = 2.0


TICK_SECONDS = 0.05
"""Timers within the same tick become one notification."""


class Pump:
    """Runs `step` until cancelled. The step returns the seconds until its next run (0: immediately, inf: when notified).

    A notification during a run is not lost: the step runs again. A step that raises is logged, and retried after a pause
    that doubles up to two seconds. A notification starts a run at least `gap_seconds` after the last one ended. So one after
    an idle time is handled immediately, and many share a run.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[float]], *, gap_seconds: float = 0.0) -> None:
        self.name = name
        self._step = step
        self._gap_seconds = gap_seconds
        self._rung = asyncio.Event()
        self._pause_seconds = 0.0
        self._store = Outage(log, begun="pump.store_unavailable", over="pump.store_available")
        self._alarms: set[int] = set()

    def ring(self) -> None:
        """Notify the loop that there may be work."""
        self._rung.set()

    def ring_in(self, seconds: float) -> None:
        """Notify the loop after this time, when there will be work."""
        tick = math.ceil((clock.monotonic() + seconds) / TICK_SECONDS)
        if tick not in self._alarms:
            self._alarms.add(tick)
            asyncio.get_running_loop().call_later(tick * TICK_SECONDS - clock.monotonic(), self._alarm, tick)

    def _alarm(self, tick: int) -> None:
        self._alarms.discard(tick)
        self.ring()

    @property
    def failing(self) -> bool:
        """Whether its last step has failed. It is retried automatically."""
        return self._pause_seconds > 0

    async def run(self) -> None:
        """Run steps until cancelled."""
        while True:
            self._rung.clear()
            seconds = await self._once()
            gap_ends_at = clock.monotonic() + self._gap_seconds
            if seconds > 0 and not self._rung.is_set():
                try:
                    async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                        await self._rung.wait()
                except TimeoutError:
                    continue
            if (left_seconds := gap_ends_at - clock.monotonic()) > 0:
                await asyncio.sleep(left_seconds)

    async def _once(self) -> float:
        try:
            seconds = await self._step()
        except StoreUnavailable as error:
            self._store.met(pump=self.name, cause=repr(error.__cause__))
        except Exception:
            log.exception("pump.failed", pump=self.name)
        else:
            self._pause_seconds = 0.0
            self._store.passed(pump=self.name)
            return seconds
        self._pause_seconds = min(max(self._pause_seconds * 2, ERROR_SECONDS_MIN), ERROR_SECONDS_MAX)
        await asyncio.sleep(self._pause_seconds)
        return 0.0
