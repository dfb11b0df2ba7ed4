"""Sweep of deliveries: finds due retries, missed notifications, expired leases and old rows."""

from app.core import clock
from app.core.crash import crash_point
from app.core.database.db import Database
from app.core.logs.log import get_logger
from app.core.process.pump import Pump
from app.webhooks.claims import EXHAUST_MAX, exhaust_disabled, find_next_times, give_back_expired
from app.webhooks.records import FORGET_MAX, forget_attempts, forget_secrets

log = get_logger(__name__)

IDLE_SECONDS = 60.0
"""Seconds between two sweeps if nothing is due before, and notifications arrive."""
FORGET_SECONDS = 3600.0


class WebhookSweeper:
    """Sweeps when the next delivery is due or a lease expires, at most every `sweep_seconds`."""

    def __init__(self, *, database: Database, deliver: Pump, sweep_seconds: float) -> None:
        self.pump = Pump("sweep_webhooks", self._step)
        self._database = database
        self._deliver = deliver
        self._sweep_seconds = sweep_seconds
        self._push_available = False
        self._forget_at = clock.monotonic()

    def set_push_available(self, available: bool) -> None:
        """`available`: whether notifications arrive. If not, it sweeps now, then every `sweep_seconds`."""
        self._push_available = available
        if not available:
            self.pump.ring()

    async def _step(self) -> float:
        async with self._database.statement() as session:
            seen = await find_next_times(session)
        if seen.expires_seconds is not None and seen.expires_seconds < 0:
            crash_point("sweep.before_expire")
            async with self._database.statement() as session:
                left = await give_back_expired(session)
            log.warning("deliveries.interrupted", count=left)
            self._deliver.ring()
        if seen.due_seconds is not None and seen.due_seconds <= 0:
            self._deliver.ring()
            async with self._database.statement() as session:
                if await exhaust_disabled(session) >= EXHAUST_MAX:
                    return 0.0
        if await self._forget():
            return 0.0
        coming = [seconds for seconds in (seen.due_seconds, seen.expires_seconds) if seconds is not None]
        least = min([IDLE_SECONDS if self._push_available else self._sweep_seconds, *coming])
        return max(self._sweep_seconds, least)

    async def _forget(self) -> bool:
        """Delete old attempts and secrets. Returns whether more are probably left."""
        if clock.monotonic() < self._forget_at:
            return False
        async with self._database.statement() as session:
            more = await forget_attempts(session) >= FORGET_MAX
        async with self._database.statement() as session:
            await forget_secrets(session)
        if not more:
            self._forget_at = clock.monotonic() + FORGET_SECONDS
        return more
