"""Sweep: repair what lost notifications, dead workers and deadlines leave behind."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from app.core import clock
from app.core.crash import crash_point
from app.core.database.db import Database
from app.core.logs.log import get_logger
from app.core.process.heartbeat import forget_dead
from app.core.process.pump import Pump
from app.core.redis.doorbell import Doorbell
from app.jobs.admin.pausing import BATCH_MAX as PARKED_MAX
from app.jobs.admin.pausing import park_paused_jobs
from app.jobs.claiming.trouble import JobTrouble
from app.jobs.engine.sweeps import (
    BATCH_MAX,
    PROMOTED_MAX,
    SweepStatus,
    expire_sending,
    expire_waiting,
    get_sweep_status,
    promote,
    release_expired_claims,
)
from app.jobs.observing.forbidden import ForbiddenModels
from app.ledger.accounts import expire_due

log = get_logger(__name__)

IDLE_SECONDS = 30.0
"""The longest time between two sweeps, if no job is unfinished and notifications are received; a notification shortens it."""
FORGET_SECONDS = 3600.0
TENANTS_MAX = 100
"""Tenants whose expired credits are written off in one transaction."""


class Duty(NamedTuple):
    """One repair. `due` decides by what the sweep found. `run_once` returns whether there is probably more to do."""

    due: Callable[[SweepStatus], bool]
    run_once: Callable[[], Awaitable[bool | None]]


class Sweeper:
    """Sweeps every `sweep_seconds`, and more and more rarely while no job is unfinished."""

    def __init__(
        self,
        *,
        database: Database,
        doorbell: Doorbell,
        dispatch: Pump,
        poll: Pump,
        forbidden: ForbiddenModels,
        trouble: JobTrouble,
        sweep_seconds: float,
        lease_seconds: float,
        unknown_max_seconds: float,
    ) -> None:
        self.pump = Pump("sweep", self._step)
        self._database = database
        self._doorbell = doorbell
        self._dispatch = dispatch
        self._poll = poll
        self._forbidden = forbidden
        self._trouble = trouble
        self._sweep_seconds = sweep_seconds
        self._lease_seconds = lease_seconds
        self._unknown_max_seconds = unknown_max_seconds
        self._wait_seconds = sweep_seconds
        self._push_available = False
        self._others_awake = False
        self._forget_at = clock.monotonic() + FORGET_SECONDS
        self._duties = (  # in this order
            Duty(lambda seen: seen.claimed, self._take_back),
            Duty(lambda seen: seen.waiting_due, self._promote),
            Duty(lambda seen: seen.queued_due or seen.waiting_due or seen.claimed, self._ring_dispatch),
            Duty(lambda seen: seen.running_due, self._ring_poll),
            Duty(lambda seen: seen.lots_due, self._expire_credits),
            Duty(lambda seen: seen.probing, self._probe),
            Duty(lambda seen: not seen.unfinished, self._rest),
            Duty(lambda seen: seen.unfinished, self._wake_others),
            Duty(lambda seen: seen.unfinished and seen.paused, self._park_paused_jobs),
            Duty(lambda seen: seen.unfinished, self._expire),
        )

    async def _step(self) -> float:
        async with self._database.statement() as session:
            seen = await get_sweep_status(session)
        more = [await duty.run_once() for duty in self._duties if duty.due(seen)]
        return 0.0 if seen.unfinished and any(more) else self._wait_seconds

    def wake(self) -> None:
        """There is work again: return to the usual interval."""
        if self._wait_seconds > self._sweep_seconds:
            self._wait_seconds = self._sweep_seconds
            self.pump.ring()

    def set_push_available(self, available: bool) -> None:
        """Say whether this process receives notifications. Without them only the sweep finds new work, so it keeps its interval."""
        self._push_available = available
        if not available:
            self.wake()

    async def _take_back(self) -> None:
        async with self._database.statement() as session:
            freed = await release_expired_claims(session, lease_seconds=self._lease_seconds)
        if freed:
            log.warning("claims.expired", jobs=freed)

    async def _promote(self) -> bool:
        async with self._database.statement() as session:
            return await promote(session) >= PROMOTED_MAX

    async def _ring_dispatch(self) -> None:
        self._dispatch.ring()

    async def _ring_poll(self) -> None:
        self._poll.ring()

    async def _probe(self) -> None:
        if await self._forbidden.probe():
            self._dispatch.ring()

    async def _rest(self) -> None:
        """Look more rarely if no notification can be missed, and drop rows that are not needed."""
        self._others_awake = False
        if self._push_available:
            self._wait_seconds = min(self._wait_seconds * 2, IDLE_SECONDS)
        await self._forget()

    async def _wake_others(self) -> None:
        """Return to the usual interval, and tell the other workers to do so."""
        if not self._others_awake:
            self._others_awake = True
            self._doorbell.wake_workers()
        self._wait_seconds = self._sweep_seconds

    async def _park_paused_jobs(self) -> bool:
        async with self._database.statement() as session:
            return await park_paused_jobs(session) >= PARKED_MAX

    async def _expire(self) -> bool:
        crash_point("sweep.before_expire")
        async with self._database.statement() as session:
            unknown = await expire_sending(session, unknown_max_seconds=self._unknown_max_seconds)
        async with self._database.transaction() as session:
            ended = await expire_waiting(session, lease_seconds=self._lease_seconds)
        if unknown or ended:
            crash_point("sweep.after_expire")
        self._trouble.unknown((row.model, "lease_expired", row.id) for row in unknown)
        self._trouble.failed(ended)
        self._doorbell.announce(row.id for row in ended)
        return len(unknown) == BATCH_MAX or len(ended) >= BATCH_MAX

    async def _expire_credits(self) -> None:
        async with self._database.transaction() as session:
            expired = await expire_due(session, lots_max=TENANTS_MAX)
        log.info("credits.expired", tenants=expired)

    async def _forget(self) -> None:
        if clock.monotonic() > self._forget_at:
            self._forget_at = clock.monotonic() + FORGET_SECONDS
            async with self._database.statement() as session:
                await forget_dead(session)
