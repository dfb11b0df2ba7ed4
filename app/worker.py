"""The worker process: the engine's pumps on our own loop, with arq as a supervised doorbell beside them."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from uuid import UUID

import uvloop
from arq.worker import func

from app.api.webhook_bodies import render_events
from app.books.keeper import Keeper as WitnessKeeper
from app.books.witness import Witness
from app.core import clock
from app.core.cancel import cancel_all
from app.core.db import Database, until_stored
from app.core.doorbell import AWAY, QUEUE, Doorbell, arq_pool, deserialized, serialized
from app.core.errors import StoreUnavailable, WrongConnection
from app.core.grouped_log import Outage
from app.core.guard import Guard
from app.core.heartbeat import beating, stop_beating
from app.core.ids import new_id
from app.core.listener import Listener
from app.core.log import get_logger
from app.core.memory import return_large_blocks
from app.core.pump import Pump
from app.core.schema import SchemaGate
from app.core.settings import Settings
from app.core.stop_signals import stop_signals
from app.core.watchdog import EXIT_CODE, Watchdog
from app.jobs.originals import OriginalsVault
from app.jobs.tasks.account import AccountWatch
from app.jobs.tasks.discretion import Discretion
from app.jobs.tasks.dispatch import SLOTS as SUBMIT_SLOTS
from app.jobs.tasks.dispatch import Dispatcher
from app.jobs.tasks.forbidden import ForbiddenModels
from app.jobs.tasks.learn import RunTimes
from app.jobs.tasks.lease import Leases
from app.jobs.tasks.meter import Meter
from app.jobs.tasks.poll import SLOTS as POLL_SLOTS
from app.jobs.tasks.poll import Poller
from app.jobs.tasks.sweep import Sweeper
from app.jobs.tasks.trouble import JobTrouble
from app.reconciliation.tasks.daily import DailyReconciliation
from app.reconciliation.tasks.refute import refuting
from app.upstream.account import AccountClient
from app.upstream.client import UpstreamClient
from app.webhooks.secrets import Vault
from app.webhooks.sender import Sender
from app.webhooks.tasks.deliver import Deliverer
from app.webhooks.tasks.keeper import Keeper
from app.webhooks.tasks.sweep import WebhookSweeper

log = get_logger(__name__)

OnWrong = Callable[[WrongConnection], None] | None

WRITERS_MAX = 8
READERS_MAX = 2
ARQ_POLL_SECONDS = 0.05
ARQ_RESTART_SECONDS = 0.5
ARQ_CLOSE_SECONDS = 1.0
POLLS_SECONDS = 5.0
"""How long the end of a process waits for its polls: one that is cut is asked again by another worker."""
RECORDING_SHARE, RECORDING_SECONDS_MAX = 0.25, 3.0
"""The part of the grace that is kept for writing down what came of the last exchanges."""
HURRY_SECONDS = 2.0
"""The same, after a second signal."""
ARQ_CLAIM_SECONDS = 2.0
"""How long arq leaves a ring to a worker that died with it; its own least is 10 s, and nobody would hear rings meanwhile."""


def _clients(settings: Settings, discretion: Discretion) -> tuple[UpstreamClient, AccountClient]:
    """For jobs, and for what is left of the company's credits."""
    key = settings.upstream_api_key.get_secret_value()
    upstream = UpstreamClient(
        url=settings.upstream_url,
        api_key=key,
        submit_connections_max=SUBMIT_SLOTS,
        poll_connections_max=POLL_SLOTS,
        result_bytes_max=settings.result_bytes_max,
    )
    return upstream, AccountClient(url=settings.upstream_url, api_key=key, seconds=5, on_read=discretion.read)


class Engine:
    """One worker's pumps, and what they share."""

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
            eased=self._eased,
        )
        self.account_watch = AccountWatch(database, self.account)
        self.trouble = JobTrouble()
        forbidden = ForbiddenModels(database)
        run_times = RunTimes(database, dear=self.meter.dear)
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
            max_in_flight=settings.upstream_max_in_flight,
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
        self.dispatcher.followed = self.poller.pump
        self.deliverer = Deliverer(
            database=database,
            doorbell=self.doorbell,
            sender=Sender(Guard(settings.webhook_networks)),
            keeper=Keeper(database, Vault(settings.secrets)),
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
        self.daily = DailyReconciliation(settings, on_wrong=on_wrong)

    @property
    def pumps(self) -> tuple[Pump, ...]:
        """All that runs until the process stops."""
        return (
            self.meter.pump, self.dispatcher.pump, self.poller.pump, self.sweeper.pump, self.daily.pump, self.deliverer.pump,
            self.webhook_sweeper.pump, self.discretion.pump,
        )  # fmt: skip

    def cut(self) -> None:
        """Wait for no exchange any longer; a submit that is on the wire is recorded as unknown."""
        for part in (self.dispatcher, self.poller, self.deliverer):
            part.cut()

    def _eased(self) -> None:
        self.dispatcher.pump.ring()
        self.poller.pump.ring()

    async def renew(self) -> None:
        """Keep the leases of calls that take long, until cancelled."""
        failing = Outage(log, begun="lease.not_renewed", over="lease.renewed")
        while True:
            await asyncio.sleep(self.leases.lease_seconds / 5)
            try:
                await self.leases.renew()
            except StoreUnavailable as error:
                failing.met(cause=repr(error.__cause__))
            else:
                failing.passed()

    def ring(self, pump: Pump) -> None:
        """Somebody says there is work."""
        if pump is not self.deliverer.pump:
            self.sweeper.wake()
        pump.ring()

    def rings(self, heard: bool) -> None:
        """Whether rings reach this process."""
        self.sweeper.rings(heard)
        self.webhook_sweeper.rings(heard)


async def ring_forever(engine: Engine, redis_url: str) -> None:
    """arq, which exits when Redis goes: started again and again; our own timers do without it meanwhile."""
    pumps = {
        "dispatch": engine.dispatcher.pump,
        "poll": engine.poller.pump,
        "deliver": engine.deliverer.pump,
    }

    def rung(pump: Pump) -> Callable[..., Coroutine[Any, Any, None]]:
        async def task(_context: dict[str, Any]) -> None:
            engine.ring(pump)

        return task

    async def look_once_more(_context: dict[str, Any]) -> None:
        # a ring that came while the task ran found its name taken, and was dropped by arq
        for pump in pumps.values():
            engine.ring(pump)

    away = Outage(log, begun="arq.stopped", over="arq.started")
    while True:
        pool = arq_pool(redis_url)
        worker = Listener(
            functions=[func(rung(pump), name=name, keep_result=0, max_tries=1000) for name, pump in pumps.items()],
            queue_name=QUEUE,
            redis_pool=pool,
            handle_signals=False,
            after_job_end=look_once_more,  # type: ignore[arg-type]
            poll_delay=ARQ_POLL_SECONDS,
            keep_result=0,
            job_serializer=serialized,
            job_deserializer=deserialized,
            health_check_interval=3600,
            log_results=False,
        )
        worker.in_progress_timeout_s = ARQ_CLAIM_SECONDS
        worker.resting = lambda: engine.sweeper.resting
        try:
            await pool.ping()
            engine.rings(True)
            away.passed()
            await worker.async_run()
        except AWAY as error:
            away.met(cause=repr(error))
        except Exception:
            log.exception("arq.failed")
        finally:
            engine.rings(False)
            await _closed(worker)
        await asyncio.sleep(ARQ_RESTART_SECONDS)


async def _closed(worker: Listener) -> None:
    """Also where Redis does not answer: a process that is told to stop must not wait for it."""
    try:
        async with asyncio.timeout(ARQ_CLOSE_SECONDS):
            await worker.close()
    except AWAY as error:
        log.debug("arq.close_failed", cause=repr(error))
        await worker.pool.connection_pool.disconnect(inuse_connections=True)


async def work(settings: Settings) -> int:
    """Until SIGTERM or SIGINT; then hand back or finish within the grace. The exit code.

    Raises WrongConnection, having stopped likewise, once a connection to Postgres has proved wrong.
    """
    stop, hurried = asyncio.Event(), asyncio.Event()
    with stop_signals(first=stop.set, again=hurried.set):
        return await _work(settings, stop, hurried)


async def _work(settings: Settings, stop: asyncio.Event, hurried: asyncio.Event) -> int:
    wrong: list[WrongConnection] = []

    def stop_for(error: WrongConnection) -> None:
        wrong.append(error)
        stop.set()

    watchdog = Watchdog(blocked_seconds_max=max(1.0, settings.lease_seconds * 0.8))
    watchdog.start()
    schema = SchemaGate(stop_for)
    process_id = new_id()
    witness = Witness(
        WitnessKeeper(settings.redis_url), process_id=process_id, lease_seconds=settings.lease_seconds, sends=True
    )
    await witness.recall()
    database = await Database.open(
        settings.database_url,
        name="worker",
        writers_max=WRITERS_MAX,
        readers_max=READERS_MAX,
        on_wrong=stop_for,
        schema=schema,
        check=witness.check,
    )
    engine = Engine(settings, database, on_wrong=stop_for, process_id=process_id)
    engine.dispatcher.opened = witness.opened
    log.info("worker.started", worker=engine.process_id.hex)
    taking = [asyncio.create_task(pump.run()) for pump in engine.pumps]
    taking.append(asyncio.create_task(ring_forever(engine, settings.redis_url)))
    taking.append(asyncio.create_task(engine.doorbell.listen_roused(engine.sweeper.wake)))
    keeping = [
        asyncio.create_task(engine.renew()),
        asyncio.create_task(
            beating(
                database,
                process_id=engine.process_id,
                kind="worker",
                lease_seconds=settings.lease_seconds,
                schema=schema,
                beaten=witness.beaten,
            )
        ),
        asyncio.create_task(witness.keep(database)),
        asyncio.create_task(refuting(settings, database, witness)),
    ]
    proving = asyncio.create_task(_proved(database))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *taking, *keeping], return_when=asyncio.FIRST_COMPLETED)
    for task in (*taking, *keeping):
        if task.done():  # none of these ever ends: better a new process than one that has lost a part
            log.error("worker.broken", exc_info=task.exception())
    log.info("worker.stopping", worker=engine.process_id.hex)
    give_up_at = clock.monotonic() + settings.grace_seconds
    await cancel_all([*taking, proving])
    await _wind_up(engine, max(0.0, give_up_at - clock.monotonic()), hurried)
    await cancel_all(keeping)
    watchdog.stop()
    await engine.upstream.close()
    await engine.account.close()
    await engine.doorbell.close()
    await witness.leave()
    await database.close()
    log.info("worker.stopped", worker=engine.process_id.hex)
    if wrong:
        raise wrong[0]
    return 0 if stop.is_set() else EXIT_CODE


async def _proved(database: Database) -> None:
    """The first connections, as soon as Postgres is there."""
    with contextlib.suppress(WrongConnection):  # `stop_for` has been told
        await until_stored(database.prove)


async def _wind_up(engine: Engine, grace_seconds: float, hurried: asyncio.Event) -> None:
    """Let what is on the wire end, and give the rest back: within the grace, or soon after a second signal."""
    recording_seconds = min(RECORDING_SECONDS_MAX, RECORDING_SHARE * grace_seconds)
    ending = asyncio.create_task(_hand_over(engine, grace_seconds - recording_seconds))
    hurrying = asyncio.create_task(_cut_when(hurried, engine))
    _, late = await asyncio.wait([ending, hurrying], timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
    if late == {ending}:
        await asyncio.wait([ending], timeout=HURRY_SECONDS)
    if not ending.done():
        log.warning("worker.not_wound_up")  # leases run out by themselves
    await cancel_all([ending, hurrying])
    engine.trouble.flush()
    engine.account_watch.flush()


async def _cut_when(hurried: asyncio.Event, engine: Engine) -> None:
    await hurried.wait()
    log.warning("worker.hurried")
    engine.cut()


async def _hand_over(engine: Engine, seconds: float) -> None:
    """What is not sent yet goes back first: others need not wait for what we still wait for."""
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
    """Without Postgres the steps after it may still be possible."""
    try:
        await step
    except StoreUnavailable as error:
        log.warning("worker.not_handed_over", cause=repr(error))


def run_worker(settings: Settings) -> None:
    """Run one worker process."""
    return_large_blocks()
    sys.exit(uvloop.run(work(settings)))
