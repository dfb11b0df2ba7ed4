"""The meter reports this process's exchanges to the rate estimate and the circuit breaker."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from uuid import UUID

from app.core import clock
from app.core.database.db import Database
from app.core.errors import StoreUnavailable
from app.core.ids import new_id
from app.core.logs.log import get_logger
from app.core.process.pump import Pump
from app.jobs.claiming.claims import ClaimedRead
from app.jobs.claiming.gate import Gate
from app.jobs.claiming.turns import Claimed, ClaimedJob
from app.pace.breaker import BREAK_SECONDS, PROBE_MODEL, PROBE_TENANT, Sample, is_suspect, worth_telling
from app.pace.budget import Granted, configure, forget_seconds, learn
from app.pace.decide import RateEstimate
from app.pace.models import Second, Throttled
from app.upstream.account import AccountClient
from app.upstream.readings import NotRead
from app.upstream.wire import Outcome, OutcomeKind

log = get_logger(__name__)

TICK_SECONDS = 1.0
FORGET_SECONDS = 120.0
POLLS_LIMITED_SECONDS = 30.0
SAMPLES_MAX = 2_000
"""How many jobs' last exchanges a process remembers."""
OUR_OWN = frozenset({"shut_down", "lease_over", "invalid_slug", "upstream_id_taken"})
"""Details of outcomes without an answer that the upstream did not cause."""


class Meter:
    """Reports 429s immediately. Once a second it reports whether the pace held jobs back, and, while this or another process
    suspects that the upstream is unavailable, the exchanges of its jobs. It reports nothing else.

    `ready`: set when the database has the configured limits. `gate`: this process's access to claims and to what is learned.
    `on_recovery`: called when the circuit breaker closes.
    """

    def __init__(
        self,
        *,
        database: Database,
        account: AccountClient,
        ceiling_per_minute: float | None,
        max_in_flight: int | None,
        on_recovery: Callable[[], None],
    ) -> None:
        self.pump = Pump("meter", self._step, gap_seconds=0.02)
        self.ready = asyncio.Event()
        self.gate = Gate(database)
        self._database = database
        self._account = account
        self._ceiling_per_minute = ceiling_per_minute
        self._max_in_flight = max_in_flight
        self._on_recovery = on_recovery
        self._clock_offset = clock.now().timestamp() - clock.monotonic()
        self._ended: dict[int, Second] = {}
        self._refused: list[Throttled] = []
        self._passed = 0
        self._samples: OrderedDict[UUID, Sample] = OrderedDict()
        self._told_at = 0.0
        self._held = self._troubled = self._broken = self._ask = False
        self._tick_at = self._alarmed_until = self._polls_limited_until = 0.0
        self._forget_at = math.inf

    def now(self) -> float:
        """The database's clock, approximately: seconds since 1970."""
        return clock.monotonic() + self._clock_offset

    def polls_limited(self) -> bool:
        """Whether polls have recently used up the rate limit at the cost of submits."""
        return clock.monotonic() < self._polls_limited_until

    def record_grant(self, taken: Granted[ClaimedRead] | Claimed, asked_at: float) -> None:
        """Note the result of a claim that was requested at this monotonic instant."""
        self._clock_offset = taken.at - asked_at
        if taken.rows and math.isinf(self._forget_at):
            self._forget_at = clock.monotonic() + FORGET_SECONDS
            self.pump.ring()
        if taken.alarmed:
            if not self._is_alarmed():
                self.pump.ring()
            self._alarmed_until = clock.monotonic() + BREAK_SECONDS
        if taken.wait_seconds is not None and not self._held:
            self._held = True
            self.pump.ring()

    def record_response(
        self, outcome: Outcome, job: ClaimedJob | ClaimedRead, *, is_read: bool, sent_at: float, trial: bool = False
    ) -> None:
        """Note the outcome of an exchange about this job. `sent_at`: when the request was sent, by the database's clock."""
        if outcome.detail in OUR_OWN:
            return
        now = self.now()
        if outcome.kind is OutcomeKind.THROTTLED:
            seconds = outcome.retry_after_seconds
            self._refused.append(Throttled(is_read, sent_at, None if seconds is None else now + seconds))
            self._count(sent_at, refused_reads=int(is_read), refused_submits=int(not is_read))
            self.pump.ring()
        elif trial and outcome.answered:
            self._passed += 1
            self.pump.ring()
        self._remember(Sample(job.id, job.tenant_id, job.model, now, not outcome.answered))
        if not (outcome.answered or self._troubled):
            self._troubled = True
            self.pump.ring()

    def _remember(self, sample: Sample) -> None:
        self._samples[sample.job_id] = sample
        self._samples.move_to_end(sample.job_id)
        if len(self._samples) > SAMPLES_MAX:
            self._samples.popitem(last=False)

    def _is_alarmed(self) -> bool:
        return self._broken or clock.monotonic() < self._alarmed_until

    def _count(self, at: float, **more: int) -> None:
        second = self._ended.get(int(at)) or Second(int(at))
        self._ended[int(at)] = replace(second, **{name: getattr(second, name) + by for name, by in more.items()})

    async def _step(self) -> float:
        if not self.ready.is_set():
            async with self._database.statement() as session:
                await configure(session, ceiling_per_minute=self._ceiling_per_minute, max_in_flight=self._max_in_flight)
            self.ready.set()
        now = clock.monotonic()
        # nothing is urgent
        if not (self._refused or self._passed or self._ask):
            if not (self._held or self._troubled or self._is_alarmed()):
                return await self._forget(now)
            if now < self._tick_at:
                return self._tick_at - now
        if self._ask:
            await self._probe()
        self._tick_at = clock.monotonic() + TICK_SECONDS
        suspects = self._troubled and is_suspect(self._lately())
        self._troubled = False
        telling = suspects or self._is_alarmed()
        heard = worth_telling(self._lately(self._told_at)) if telling else []
        if suspects or heard or self._broken:
            await self._learn(heard, alarm=suspects)
        elif self._held or self._refused or self._passed:
            await self._learn(None, alarm=False)
        return 0.0 if self._ask else TICK_SECONDS

    def _lately(self, since: float = 0.0) -> list[Sample]:
        """The exchanges of the last BREAK_SECONDS and after `since`, newest first."""
        since = max(since, self.now() - BREAK_SECONDS)
        return list(takewhile(lambda sample: sample.at > since, reversed(self._samples.values())))

    async def _learn(self, heard: list[Sample] | None, *, alarm: bool) -> None:
        held, refused, passed, ended = self._held, self._refused, self._passed, self._ended
        self._held, self._refused, self._passed, self._ended, self._ask = False, [], 0, {}, False
        try:
            async with self.gate.transaction() as session:
                before, after, self._ask = await learn(
                    session, held=held, refused=refused, passed=passed, ended=ended.values(), heard=heard, alarm=alarm
                )
        except StoreUnavailable:
            self._held, self._troubled = self._held or held, self._troubled or alarm
            self._refused, self._passed = refused + self._refused, self._passed + passed
            raise
        if heard:
            self._told_at = heard[0].at
        if alarm:
            self._alarmed_until = clock.monotonic() + BREAK_SECONDS
        self._broken = after.broken_at is not None
        if held and after.limit is not None and not after.reads_free:
            self._polls_limited_until = clock.monotonic() + POLLS_LIMITED_SECONDS
        self._say(before, after)

    def _say(self, before: RateEstimate, after: RateEstimate) -> None:
        if after.cut_at != before.cut_at and after.limit is not None:
            log.warning(
                "upstream.throttled",
                limit_per_minute=round(after.limit),
                resume_seconds=round(after.resume_at - self.now(), 1),
                polls_count=not after.reads_free,
            )
        if after.reads_free != before.reads_free:
            log.info("upstream.poll_counting_changed", count=not after.reads_free)
        if self._broken and before.broken_at is None:
            log.error("upstream.unavailable")
        elif before.broken_at is not None and not self._broken:
            log.warning("upstream.available", seconds=round(self.now() - before.broken_at, 1))
            self._on_recovery()

    async def _probe(self) -> None:
        """Send the upstream a request that belongs to no job and changes nothing."""
        try:
            await self._account.credits()
        except NotRead as error:
            answered = error.answered
        else:
            answered = True
        self._remember(Sample(new_id(), PROBE_TENANT, PROBE_MODEL, self.now(), not answered))

    async def _forget(self, now: float) -> float:
        if now < self._forget_at:
            return self._forget_at - now
        self._forget_at = math.inf
        async with self._database.statement() as session:
            await forget_seconds(session)
        return math.inf
