"""A worker's engine: the pumps that dispatch, poll and deliver, what they share, and how they end."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import cached_property, partial
from typing import Any
from uuid import UUID

from app.api.webhooks.webhook_bodies import render_events
from app.core.config.settings import Settings
from app.core.database.db import Database
from app.core.errors import StoreUnavailable, WrongConnection
from app.core.ids import new_id
from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger
from app.core.process.cancel import cancel_all
from app.core.process.heartbeat import stop_beating
from app.core.process.pump import Pump
from app.core.redis.doorbell import TASKS, Doorbell, Task
from app.http_client.guard import Guard
from app.jobs.admin.originals import OriginalsVault
from app.jobs.claiming.lease import Leases
from app.jobs.claiming.trouble import JobTrouble
from app.jobs.engine.dispatch import SLOTS as SUBMIT_SLOTS
from app.jobs.engine.dispatch import Dispatcher
from app.jobs.engine.poll import SLOTS as POLL_SLOTS
from app.jobs.engine.poll import Poller
from app.jobs.engine.sweep import Sweeper
from app.jobs.observing.account import AccountWatch
from app.jobs.observing.discretion import Discretion
from app.jobs.observing.forbidden import ForbiddenModels
from app.jobs.observing.learn import RunTimes
from app.jobs.observing.meter import Meter
from app.reconciliation.tasks.daily import DailyReconciliation
from app.reconciliation.tasks.history_of import history_of
from app.resolution.tasks import Resolver, Rules
from app.upstream.account import AccountClient
from app.upstream.client import UpstreamClient
from app.webhooks.delivery.deliver import Deliverer
from app.webhooks.delivery.secret_cache import SigningSecretCache
from app.webhooks.delivery.sender import Sender
from app.webhooks.delivery.sweep import WebhookSweeper
from app.webhooks.secrets import Vault

log = get_logger(__name__)

OnWrong = Callable[[WrongConnection], None] | None

POLLS_SECONDS = 5.0
"""How long a stopping process waits for its polls. Another worker repeats a poll that was cut off."""
RECORDING_SHARE, RECORDING_SECONDS_MAX = 0.25, 3.0
"""The part of the grace period that is reserved to record the last outcomes."""
HURRY_SECONDS = 2.0
"""The same after a second signal."""


def _clients(settings: Settings, discretion: Discretion) -> tuple[UpstreamClient, AccountClient]:
    """The clients for jobs, and for the company's credits."""
    url, key, proxy = settings.upstream_url, settings.upstream_api_key.get_secret_value(), settings.upstream_proxy
    upstream = UpstreamClient(
        url=url,
        api_key=key,
        submit_connections_max=SUBMIT_SLOTS,
        poll_connections_max=POLL_SLOTS,
        result_bytes_max=settings.result_bytes_max,
        proxy=proxy,
    )
    return upstream, AccountClient(url=url, api_key=key, seconds=5, on_read=discretion.read, proxy=proxy)


class Engine:
    """The pumps of one worker, and what they share."""

    def __init__(
        self, settings: Settings, database: Database, *, on_wrong: OnWrong = None, process_id: UUID | None = None
    ) -> None:
        self.process_id = process_id or new_id()
        self.database = database
        self.doorbell = Doorbell(settings.redis_url, on_ended=lambda: self.deliverer.pump.ring())
        self.leases = Leases(database, owner=self.process_id, lease_seconds=settings.lease_seconds)
        self.discretion = Discretion(database, OriginalsVault(settings.secrets))
        self.upstream, self.account = _clients(settings, self.discretion)
        self.meter = Meter(
            database=database,
            account=self.account,
            ceiling_per_minute=settings.upstream_rpm,
            max_in_flight=settings.upstream_max_in_flight,
            on_recovery=self._on_recovery,
        )
        self.account_watch = AccountWatch(database, self.account)
        self.trouble = JobTrouble()
        forbidden = ForbiddenModels(database)
        run_times = RunTimes(database, polls_limited=self.meter.polls_limited)
        self.dispatcher = Dispatcher(
            database=database,
            upstream=self.upstream,
            leases=self.leases,
            run_times=run_times,
            doorbell=self.doorbell,
            meter=self.meter,
            account=self.account_watch,
            forbidden=forbidden,
            discretion=self.discretion,
            trouble=self.trouble,
            unknown_max_seconds=settings.unknown_max_seconds,
        )
        self.poller = Poller(
            database=database,
            upstream=self.upstream,
            leases=self.leases,
            run_times=run_times,
            doorbell=self.doorbell,
            meter=self.meter,
            discretion=self.discretion,
            trouble=self.trouble,
            rings_at_ends=settings.upstream_max_in_flight is not None,
        )
        self.dispatcher.sender.poller_pump = self.poller.pump
        self.sender = Sender(Guard(settings.webhook_networks))
        self.deliverer = Deliverer(
            database=database,
            doorbell=self.doorbell,
            sender=self.sender,
            secret_cache=SigningSecretCache(database, Vault(settings.secrets)),
            render=partial(render_events, base_url=settings.public_url),
            owner=self.process_id,
        )
        self.webhook_sweeper = WebhookSweeper(
            database=database, deliver=self.deliverer.pump, sweep_seconds=settings.sweep_seconds
        )
        self.sweeper = Sweeper(
            database=database,
            doorbell=self.doorbell,
            dispatch=self.dispatcher.pump,
            poll=self.poller.pump,
            forbidden=forbidden,
            trouble=self.trouble,
            sweep_seconds=settings.sweep_seconds,
            lease_seconds=settings.lease_seconds,
            unknown_max_seconds=settings.unknown_max_seconds,
        )
        self.resolver = self._new_resolver(settings)
        self.daily = DailyReconciliation(settings, on_wrong=on_wrong)

    def _new_resolver(self, settings: Settings) -> Resolver:
        return Resolver(
            database=self.database,
            history=history_of(settings),
            doorbell=self.doorbell,
            poll=self.poller.pump,
            dispatch=self.dispatcher.pump,
            trouble=self.trouble,
            owner=self.process_id,
            rules=Rules(settings.history_settle_seconds, settings.unknown_max_seconds, settings.lease_seconds),
        )

    @property
    def pumps(self) -> tuple[Pump, ...]:
        """All pumps. They run until the process stops."""
        return (
            self.meter.pump, self.dispatcher.pump, self.poller.pump, self.sweeper.pump, self.resolver.pump, self.daily.pump,
            self.deliverer.pump, self.webhook_sweeper.pump, self.discretion.pump,
        )  # fmt: skip

    @cached_property
    def _rung(self) -> dict[Task, Dispatcher | Poller | Deliverer]:
        return {"dispatch": self.dispatcher, "poll": self.poller, "deliver": self.deliverer}

    def cut(self) -> None:
        """Stop waiting for exchanges. A submit that is in progress is recorded as unknown."""
        for part in (self.dispatcher, self.poller, self.deliverer):
            part.cut()

    async def close(self) -> None:
        """Close the connections to the upstream, to receivers of webhooks and to Redis."""
        for part in (self.upstream, self.account, self.resolver, self.sender, self.doorbell):
            await part.close()

    def _on_recovery(self) -> None:
        self.dispatcher.pump.ring()
        self.poller.pump.ring()

    async def renew(self) -> None:
        """Renew the leases of long calls, until canceled."""
        failing = Outage(log, begun="lease.not_renewed", over="lease.renewed")
        while True:
            await asyncio.sleep(self.leases.lease_seconds / 5)
            try:
                await self.leases.renew()
            except StoreUnavailable as error:
                failing.met(cause=repr(error.__cause__))
            else:
                failing.passed()

    def ring(self, task: Task) -> None:
        """Handle a notification of work."""
        if task != "deliver":
            self.sweeper.wake()
        self._rung[task].pump.ring()

    def has_room(self, task: Task) -> bool:
        """Return whether this process can take more work of this kind now."""
        part = self._rung[task]
        return part.has_room and not part.pump.failing

    async def listen(self) -> None:
        """Receive published notifications, until canceled."""
        await self.doorbell.listen_rings(
            woken=self.sweeper.wake, rung=self.ring, has_room=self.has_room, connected=self._connected
        )

    def _connected(self, connected: bool) -> None:
        # arq alone is not enough to make sweeps rarer: it gives a notification to one worker, and that worker may die with it
        self.sweeper.set_push_available(connected)
        self.webhook_sweeper.set_push_available(connected)
        if connected:  # notifications sent while we were not connected are lost
            for task in TASKS:
                self.ring(task)


async def wind_up(engine: Engine, grace_seconds: float, hurried: asyncio.Event) -> None:
    """Let exchanges in progress end, and hand the rest back: within the grace period, or soon after a second signal."""
    recording_seconds = min(RECORDING_SECONDS_MAX, RECORDING_SHARE * grace_seconds)
    ending = asyncio.create_task(hand_over(engine, grace_seconds - recording_seconds))
    hurrying = asyncio.create_task(_cut_when(hurried, engine))
    _, late = await asyncio.wait([ending, hurrying], timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
    if late == {ending}:
        await asyncio.wait([ending], timeout=HURRY_SECONDS)
    if not ending.done():
        log.warning("worker.stop_timed_out")  # leases run out by themselves
    await cancel_all([ending, hurrying])
    engine.trouble.flush()
    engine.account_watch.flush()


async def _cut_when(hurried: asyncio.Event, engine: Engine) -> None:
    await hurried.wait()
    log.warning("worker.stop_forced")
    engine.cut()


async def hand_over(engine: Engine, seconds: float) -> None:
    """Hand back unsent work first: other workers need not wait for the exchanges that we still wait for."""
    await _attempted(engine.leases.hand_back_unsent())
    engine.doorbell.ring("dispatch")
    await asyncio.gather(
        _attempted(engine.poller.drain(min(seconds, POLLS_SECONDS))),
        _attempted(engine.dispatcher.drain(seconds)),
        _attempted(engine.deliverer.drain(seconds)),
    )
    await _attempted(engine.leases.hand_back())
    await _attempted(engine.discretion.flush())
    await _attempted(_take_leave(engine))


async def _take_leave(engine: Engine) -> None:
    async with engine.database.statement() as session:
        await stop_beating(session, process_id=engine.process_id)


async def _attempted(step: Coroutine[Any, Any, None]) -> None:
    """Continue without Postgres: later steps may still be possible."""
    try:
        await step
    except StoreUnavailable as error:
        log.warning("worker.release_failed", cause=repr(error))
