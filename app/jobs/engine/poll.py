"""Poll: claim running jobs that are due, poll each, fetch its result if it has ended, and record the outcome."""

import math
from collections.abc import Sequence
from uuid import UUID

from app.core import clock
from app.core.crash import crash_point
from app.core.database.db import Database, retry_until_stored
from app.core.errors import StoreUnavailable
from app.core.ids import show_id
from app.core.logs.log import get_logger
from app.core.process.pump import Pump
from app.core.process.slots import Slots
from app.core.redis.doorbell import Doorbell
from app.jobs.claiming.claims import EVER_SECONDS, ClaimedRead, claim_running
from app.jobs.claiming.decide import RECORD_SECONDS, Running, Step, after_poll, run_time
from app.jobs.claiming.lease import Leases
from app.jobs.claiming.recording import open_recorder
from app.jobs.claiming.records import ExchangeRecord, Moved, PolledJob, PollRecord, record_polls
from app.jobs.claiming.trouble import JobTrouble
from app.jobs.models import FINAL, ExchangeKind, State
from app.jobs.observing.discretion import Discretion
from app.jobs.observing.learn import RunTimes
from app.jobs.observing.meter import Meter
from app.ledger.decide import charge
from app.pace.budget import Granted
from app.upstream.client import UpstreamClient
from app.upstream.wire import Outcome, OutcomeKind, UpstreamState

log = get_logger(__name__)

SLOTS = 256
"""Polls in progress at the same time."""
GROUP_MAX = 200
LINGER_SECONDS = 0.01
LARGE_BYTES = 64 * 1024
"""A larger result is recorded alone: it takes Postgres milliseconds, in which no other tenant's queue may be locked."""
OVERDUE_SECONDS = 2.0
"""Jobs overdue for longer are not searched in each claim, but every THOROUGH_SECONDS, and while more are due than slots are free."""
THOROUGH_SECONDS = 1.0
BY_DUE_EACH = 5
"""While the rate limit holds polls back, claims take the jobs whose results expire first; each fifth takes the longest overdue."""
FETCH_AFTER = 2
"""After this many unreadable polls in a row, the result is fetched: it may be readable."""
_TELLING = frozenset({OutcomeKind.SUCCEEDED, OutcomeKind.FAILED, OutcomeKind.RUNNING})

_OfTenant = tuple[UUID, PollRecord]


class Poller:
    """Polls this worker's share of the running jobs. `pump` runs it."""

    def __init__(
        self,
        *,
        database: Database,
        upstream: UpstreamClient,
        leases: Leases,
        run_times: RunTimes,
        doorbell: Doorbell,
        meter: Meter,
        discretion: Discretion,
        trouble: JobTrouble,
        rings_at_ends: bool = False,
    ) -> None:
        """`rings_at_ends`: notify the dispatchers of each end, because it makes room for a job of any tenant."""
        self.pump = Pump("poll", self._step, gap_seconds=0.01)
        self._database = database
        self._gate = meter.gate
        self._upstream = upstream
        self._leases = leases
        self._run_times = run_times
        self._doorbell = doorbell
        self._meter = meter
        self._discretion = discretion
        self._trouble = trouble
        self._rings_at_ends = rings_at_ends
        self._slots = Slots("poll", SLOTS, freed=self._freed)
        self._full = False
        self._thorough_at = 0.0
        self._debt = 0
        self._behind = 0
        self._wait_until = 0.0
        self._recorder = open_recorder(self._record, size_max=GROUP_MAX, linger_seconds=LINGER_SECONDS, large=_is_large)

    async def _step(self) -> float:
        free = self._slots.free
        was_full = self._full
        self._full = free <= 0
        if self._full:
            return math.inf
        await self._meter.ready.wait()
        asked_at = clock.monotonic()
        if asked_at < self._wait_until:
            return self._wait_until - asked_at  # no token for a poll is there yet
        thorough = was_full or self._behind > 0 or asked_at >= self._thorough_at
        if thorough:
            self._thorough_at = asked_at + THOROUGH_SECONDS
        by_expiry = self._behind % BY_DUE_EACH > 0
        crash_point("poll.before_claim")
        held = self._leases.now_held()
        taken = await self._claim(free, thorough=thorough, by_expiry=by_expiry)
        self._meter.record_grant(taken, asked_at)
        rows = taken.rows
        if rows:
            crash_point("poll.after_claim")
        await self._run_times.learn(row.model for row in rows)
        for row in self._leases.fresh(rows, held=held):
            self._slots.start(self._ask(row, asked_at, taken))
        # a worker claims one suspect at a time: the end of one allows the next
        self._full = len(rows) == free or any(row.takeovers for row in rows)
        if self._full:
            self._doorbell.ring("poll")  # there may be more than this worker has slots for
        if taken.wait_seconds is not None:
            self._behind += 1
            self._wait_until = asked_at + taken.wait_seconds
            return taken.wait_seconds
        self._behind = 0
        return 0.0 if by_expiry and not self._full else math.inf

    async def _claim(self, most: int, *, thorough: bool, by_expiry: bool) -> Granted[ClaimedRead]:
        debt, self._debt = self._debt, 0
        try:
            async with self._gate.transaction() as session:
                taken = await claim_running(
                    session,
                    owner=self._leases.owner,
                    reads_max=most,
                    lease_seconds=self._leases.lease_seconds,
                    overdue_seconds=EVER_SECONDS if thorough else OVERDUE_SECONDS,
                    debt=debt,
                    expires_seconds=RECORD_SECONDS if by_expiry else None,
                )
                crash_point("poll.in_claim")
                return taken
        except StoreUnavailable:
            self._debt += debt
            raise

    def _freed(self) -> None:
        if self._full:
            self.pump.ring()

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return self._slots.free > 0

    async def drain(self, seconds: float) -> None:
        """Wait for polls in progress, at most this long. A poll that is aborted is repeated by another worker."""
        await self._slots.drain(seconds)
        await self._recorder.drained()

    def cut(self) -> None:
        """Abort the polls in progress, during a drain."""
        self._slots.cut()

    async def _ask(self, row: ClaimedRead, asked_at: float, taken: Granted[ClaimedRead]) -> None:
        with self._leases.held((row.id, row.fence), asked_at=asked_at):
            await self._ask_held(row, asked_at, taken)

    async def _ask_held(self, row: ClaimedRead, asked_at: float, taken: Granted[ClaimedRead]) -> None:
        upstream_id: str = row.upstream_id
        seen = UpstreamState(row.upstream_state) if row.upstream_state else None
        exchanges: list[tuple[ExchangeKind, Outcome]] = []
        if seen is not UpstreamState.COMPLETED:
            outcome = await self._upstream.poll(upstream_id)
            self._meter.record_response(outcome, row, is_read=True, sent_at=taken.at, trial=taken.trial)
            crash_point("poll.after_answer")
            exchanges.append((ExchangeKind.POLL, outcome))
            if outcome.kind is OutcomeKind.SUCCEEDED:
                seen = UpstreamState.COMPLETED
        junk = bool(exchanges) and exchanges[0][1].kind is OutcomeKind.UNREADABLE and row.unreadable >= FETCH_AFTER
        if seen is UpstreamState.COMPLETED or junk:
            crash_point("fetch.before_send")
            sent_at = self._meter.now()
            self._debt += len(exchanges)  # the claim has paid for one of them
            fetched = await self._upstream.fetch(upstream_id)
            self._meter.record_response(fetched, row, is_read=True, sent_at=sent_at)
            crash_point("fetch.after_answer")
            exchanges.append((ExchangeKind.FETCH, fetched))
            if not junk or fetched.kind in _TELLING:
                outcome = fetched
        outcome = await self._discretion.told(outcome)
        age_seconds = row.age_seconds + clock.monotonic() - asked_at
        job = Running(age_seconds, row.gone_seconds, row.retries, seen, row.unreadable)
        await self._settle(row, job, outcome, exchanges)

    async def _settle(
        self, row: ClaimedRead, job: Running, outcome: Outcome, exchanges: Sequence[tuple[ExchangeKind, Outcome]]
    ) -> None:
        schedule = self._run_times.of(row.model)
        step = after_poll(outcome, job, schedule=schedule)
        self._warn(row, outcome, step)
        run_seconds = detection_seconds = None
        if step.to_state in FINAL:
            gap_seconds = schedule.gap_before(job.age_seconds)
            run_seconds, detection_seconds = run_time(outcome, age_seconds=job.age_seconds, gap_seconds=gap_seconds)
        told = [
            exchange.metrics.cost_micro
            for _, exchange in exchanges
            if exchange.metrics and exchange.metrics.cost_micro is not None
        ]
        cost = told[-1] if told else row.cost_micro
        before = row.upstream_state
        record = PollRecord(
            job_id=row.id,
            fence=row.fence,
            step=step,
            run_seconds=run_seconds,
            detection_seconds=detection_seconds,
            cost_micro=cost,
            charge_micro=_charge(row, cost) if step.to_state is State.COMPLETED else 0,
            exchanges=tuple(
                ExchangeRecord(kind, row.id, row.attempt, exchange)
                for kind, exchange in exchanges
                if _worth_a_row(exchange, before)
            ),
            starts=row.wants_start and step.upstream_state is UpstreamState.PROCESSING,
            original=self._discretion.sealed(row.id, outcome) if step.to_state is State.FAILED else None,
        )
        await self._recorder.post((row.tenant_id, record))

    def _warn(self, row: ClaimedRead, outcome: Outcome, step: Step) -> None:
        """Warn when trouble with a job begins. Its end is logged when it is recorded."""
        if step.to_state in FINAL:
            return
        if step.unreadable and not row.unreadable:
            self._trouble.unreadable(row, outcome)
        elif step.retry and not step.unreadable and not row.retries:
            self._trouble.no_answer(row, outcome)

    async def _record(self, records: Sequence[PollRecord], lock_seconds: float) -> Sequence[None | Exception]:
        more = any(record.step.to_state in FINAL or record.starts for record in records)
        door = self._database.transaction if more else self._database.statement

        async def write() -> Moved[PolledJob]:
            async with door() as session:
                return await record_polls(session, records=records, lock_seconds=lock_seconds)

        crash_point("poll.before_record")
        recorded = await retry_until_stored(write)
        rows = recorded.rows
        if recorded.room or (self._rings_at_ends and any(State(row.state) in FINAL for row in rows)):
            self._doorbell.ring("dispatch")
        crash_point("poll.after_record")
        moved = {row.id: State(row.state) for row in rows}
        self._doorbell.announce((job_id for job_id, state in moved.items() if state in FINAL), due=recorded.due > 0)
        self._trouble.polled(recorded)
        for record in records:
            state = moved.get(record.job_id)
            if state is None:
                log.info("poll.record_refused", job_id=show_id("job", record.job_id))
            elif state is State.RUNNING:
                self.pump.ring_in(record.step.due_seconds or 0.0)
        return [None] * len(records)


def _is_large(one: _OfTenant) -> bool:
    body = one[1].step.body
    return body is not None and len(body) > LARGE_BYTES


def _charge(row: ClaimedRead, cost: int | None) -> int:
    return charge(price_rule=row.price_rule, markup_micro=row.markup_micro, held=row.held_micro, cost=cost)


def _worth_a_row(outcome: Outcome, before: str | None) -> bool:
    """Polls without news are only counted. State changes, ends and failures are stored as exchanges."""
    return outcome.kind is not OutcomeKind.RUNNING or outcome.state != before
