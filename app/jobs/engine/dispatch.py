"""Dispatch: claim queued jobs and pass them to the sender."""

import contextlib
import heapq
import math
from collections.abc import Collection
from uuid import UUID

import asyncpg

from app.core import clock
from app.core.crash import crash_point
from app.core.database.db import Database
from app.core.database.session import Session
from app.core.process.pump import Pump
from app.core.process.slots import Slots
from app.core.redis.doorbell import Doorbell
from app.jobs.claiming.lease import Leases
from app.jobs.claiming.passed import PassedOver
from app.jobs.claiming.trouble import JobTrouble
from app.jobs.claiming.turns import BEYOND_MIN, Claimed, claim_queued
from app.jobs.engine.sending import JobSender
from app.jobs.engine.sweeps import promote
from app.jobs.observing.account import AccountWatch
from app.jobs.observing.discretion import Discretion
from app.jobs.observing.forbidden import ForbiddenModels
from app.jobs.observing.learn import RunTimes
from app.jobs.observing.meter import Meter
from app.jobs.queues import lock_queues
from app.upstream.client import UpstreamClient

SLOTS = 64
"""Submits in progress at the same time. A claim takes no more jobs than slots are free, so that a kill leaves few unknown."""
LOCK_SECONDS = 0.1
"""How long a claim waits for the lock on a tenant's queue. A submit or a record holds it for less."""
CANCEL_GRACE_SECONDS = 1.0
"""How long a submit that is aborted at shutdown may take to record that it is unknown."""


class Dispatcher:
    """Claims this worker's share of the queued jobs, which `sender` sends. `pump` runs it."""

    def __init__(
        self,
        *,
        database: Database,
        upstream: UpstreamClient,
        leases: Leases,
        run_times: RunTimes,
        doorbell: Doorbell,
        meter: Meter,
        account: AccountWatch,
        forbidden: ForbiddenModels,
        discretion: Discretion,
        trouble: JobTrouble,
        unknown_max_seconds: float,
    ) -> None:
        self.pump = Pump("dispatch", self._step, gap_seconds=0.005)
        self.sender = JobSender(
            database=database,
            upstream=upstream,
            leases=leases,
            run_times=run_times,
            doorbell=doorbell,
            meter=meter,
            account=account,
            forbidden=forbidden,
            discretion=discretion,
            trouble=trouble,
            unknown_max_seconds=unknown_max_seconds,
            dispatch=self.pump,
            again_in=self._again_in,
        )
        self._database = database
        self._gate = meter.gate
        self._leases = leases
        self._run_times = run_times
        self._doorbell = doorbell
        self._meter = meter
        self._slots = Slots("submit", SLOTS, freed=self._freed)
        self._full = False
        self._wait_until = 0.0
        self._beyond = 0
        self._passed_over = PassedOver()
        self._promote_at: list[float] = []

    async def _step(self) -> float:
        free = self._slots.free
        self._full = free <= 0
        if self._full:
            return math.inf
        await self._meter.ready.wait()
        asked_at = clock.monotonic()
        if asked_at < self._wait_until:
            return self._wait_until - asked_at  # there is work, but no token for it yet
        due = asked_at + 0.01
        if self._promote_at and self._promote_at[0] <= due:
            while self._promote_at and self._promote_at[0] <= due:
                heapq.heappop(self._promote_at)
            async with self._database.statement() as session:
                await promote(session)
        crash_point("dispatch.before_claim")
        held = self._leases.now_held()
        taken = await self._claim(free)
        self._meter.record_grant(taken, asked_at)
        # the tenants whose turn it is have no job that may be sent: look at more tenants in the next claim
        self._beyond = 2 * self._beyond + BEYOND_MIN if taken.hidden else 0
        look_seconds = self._passed_over.note(taken.passed_over)
        rows = taken.rows
        if rows:
            crash_point("dispatch.after_claim")
        await self._run_times.learn(row.model for row in rows)
        for row in self._leases.fresh(rows, held=held):
            self._slots.start(self.sender.send(row, asked_at, taken.at))
        # a worker claims one suspect at a time: the end of one allows the next
        self._full = len(rows) == free or any(row.takeovers for row in rows)
        if self._full:
            self._doorbell.ring("dispatch")  # there may be more than this worker has slots for
            return math.inf
        if taken.wait_seconds is not None:
            self._wait_until = asked_at + taken.wait_seconds
            return taken.wait_seconds
        # fewer jobs than requested, but not all that wait: the next claim decides whose turn it is
        return 0.0 if taken.more or taken.hidden else look_seconds

    async def _claim(self, most: int) -> Claimed:
        """Wait for a queue that is locked for a moment, or the busiest tenants would lose their turns. A queue that is locked for longer is
        passed over until it is unlocked."""
        passed_over = self._passed_over.tenant_ids
        starved = self._passed_over.find_starved()
        with contextlib.suppress(asyncpg.LockNotAvailableError):
            async with self._gate.transaction() as session:
                if starved is not None:  # before the row is locked that all claims wait for
                    await lock_queues(session, tenant_id=starved, lock_seconds=LOCK_SECONDS)
                return await self._claim_queued(session, most, passed_over)
        async with self._gate.transaction() as session:
            return await self._claim_queued(session, most, None)

    async def _claim_queued(self, session: Session, most: int, passed_over: Collection[UUID] | None) -> Claimed:
        claimed = await claim_queued(
            session,
            owner=self._leases.owner,
            jobs_max=most,
            lease_seconds=self._leases.lease_seconds,
            lookahead=self._beyond,
            passed_over=passed_over,
            lock_seconds=LOCK_SECONDS,
        )
        crash_point("dispatch.in_claim")
        return claimed

    def _freed(self) -> None:
        if self._full:
            self.pump.ring()

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return self._slots.free > 0

    async def drain(self, seconds: float) -> None:
        """Wait for submits in progress, at most this long; then abort them, which leaves their jobs unknown."""
        await self._slots.drain(seconds, cancel_seconds=CANCEL_GRACE_SECONDS)
        await self.sender.recorded()

    def cut(self) -> None:
        """Abort the submits in progress, during a drain."""
        self._slots.cut()

    def _again_in(self, seconds: float) -> None:
        """A job was requeued and is due in this many seconds: make it ready then."""
        heapq.heappush(self._promote_at, clock.monotonic() + seconds)
        self.pump.ring_in(seconds)
