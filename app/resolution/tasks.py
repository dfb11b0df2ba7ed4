"""The duty of a worker that finds out what became of unknown attempts. One worker at a time reads the history."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.core import clock
from app.core.crash import crash_point
from app.core.database.db import Database
from app.core.errors import StoreUnavailable
from app.core.ids import show_id
from app.core.logs.log import get_logger
from app.core.process.cancel import cancel_all
from app.core.process.pump import Pump
from app.core.redis.doorbell import Doorbell
from app.jobs.claiming.trouble import JobTrouble
from app.jobs.models import FINAL, Resolution
from app.jobs.unknown.absent import prove_absent
from app.jobs.unknown.adopting import Adoption, adopt_attempts, mark_contested
from app.jobs.unknown.late import LateRequest, note_late_request, take_back_resubmit
from app.resolution.absence import BEFORE, DEPTH, settle_time
from app.resolution.deciding import Attempt, Decided, decide
from app.resolution.finishing import finish_expired
from app.resolution.matching.fitting import CLOCKS
from app.resolution.operations import (
    Turn,
    claim_turn,
    end_turn,
    note_contested,
    note_lateness,
    refute_resubmits,
    renew_turn,
    settle_contested,
)
from app.resolution.queries import get_longest_lateness, get_window, list_candidates
from app.resolution.reading import Reading, drop_owned, read_history
from app.resolution.recovered import recovered_body
from app.resolution.settled import SettledAttempts
from app.upstream.history import HistoryClient
from app.upstream.readings import NotRead

log = get_logger(__name__)

LOOK_SECONDS: Final = 2.0
"""How often a worker looks whether a read is due."""
WAIT_SECONDS: Final = (3.0, 60.0)
"""The time between two reads: a quarter of the youngest unknown attempt's age, between these."""
UNREAD_SECONDS: Final = 30.0
"""The time after a history that could not be read."""
LEASES: Final = 4.0
"""A turn lasts so many leases, unless it is renewed, which happens after each lease. Two workers that read at once do no harm."""
WATCHED_SECONDS_MIN: Final = 600.0
DEAD_SECONDS_MIN: Final = 20.0
"""A process without a heartbeat for this long, or four leases, is dead."""
HORIZON_SECONDS: Final = 86_400.0
"""Older attempts are left to the daily reconciliation."""
BATCH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings. settle_seconds: how long the history may lag. unknown_max_seconds: how long a job may stay unknown."""

    settle_seconds: float
    unknown_max_seconds: float
    lease_seconds: float

    @property
    def turn_seconds(self) -> float:
        return LEASES * self.lease_seconds

    @property
    def horizon_seconds(self) -> float:
        return HORIZON_SECONDS + self.unknown_max_seconds

    @property
    def watched_seconds(self) -> float:
        """How long after its resolution an attempt is still looked for: a row may be later than all before it."""
        return max(WATCHED_SECONDS_MIN, 2 * self.settle_seconds)


class _Ended(NamedTuple):
    """How a turn has ended, as `end_turn` takes it."""

    wait_seconds: float
    read_at: datetime | None = None
    lag_seconds: float | None = None
    unreadable: bool = False


class Resolver:
    """The part of one worker. `pump` runs it; without a history it does nothing."""

    def __init__(
        self,
        *,
        database: Database,
        history: HistoryClient | None,
        doorbell: Doorbell,
        poll: Pump,
        dispatch: Pump,
        trouble: JobTrouble,
        owner: UUID,
        rules: Rules,
    ) -> None:
        self.pump = Pump("resolve", self._step)
        self._database = database
        self._history = history
        self._doorbell = doorbell
        self._poll = poll
        self._dispatch = dispatch
        self._trouble = trouble
        self._owner = owner
        self._rules = rules
        self._offset = timedelta()
        self._settled = SettledAttempts()

    async def close(self) -> None:
        """Close the connections to the history."""
        if self._history is not None:
            await self._history.close()

    async def _step(self) -> float:
        if self._history is None:
            return float("inf")
        rules = self._rules
        async with self._database.statement() as session:
            turn = await claim_turn(
                session, owner=self._owner, lease_seconds=rules.turn_seconds, horizon_seconds=rules.horizon_seconds,
                watched_seconds=rules.watched_seconds,
            )  # fmt: skip
        if turn is not None:
            await self._take_turn(turn, self._history)
        return LOOK_SECONDS

    async def _take_turn(self, turn: Turn, history: HistoryClient) -> None:
        ended = _Ended(UNREAD_SECONDS)
        began_at = clock.monotonic()
        renewing = asyncio.create_task(self._renew())
        try:
            crash_point("resolve.before_read")
            found = await self._resolve(turn, history)
            if found is not None:
                reading, newest_at = found
                wait_seconds = _wait_seconds(turn.at, newest_at, took_seconds=clock.monotonic() - began_at)
                ended = _Ended(wait_seconds, reading.began_at, reading.lag_seconds)
        except NotRead as error:
            ended = _Ended(UNREAD_SECONDS, unreadable=True)
            log.warning("resolve.history_unreadable", detail=error.detail)
        finally:
            await cancel_all([renewing])
            # also of a process that ends: another worker need not wait for the lease
            await asyncio.shield(self._end_turn(ended))

    async def _end_turn(self, ended: _Ended) -> None:
        try:
            async with self._database.statement() as session:
                await end_turn(
                    session, owner=self._owner, wait_seconds=ended.wait_seconds, read_at=ended.read_at,
                    lag_seconds=ended.lag_seconds, unreadable=ended.unreadable,
                )  # fmt: skip
        except StoreUnavailable as error:
            log.warning("resolve.turn_not_ended", cause=repr(error))

    async def _resolve(self, turn: Turn, history: HistoryClient) -> tuple[Reading, datetime | None] | None:
        rules = self._rules
        async with self._database.snapshot() as snapshot:
            window = await get_window(
                snapshot, horizon_seconds=rules.horizon_seconds, watched_seconds=rules.watched_seconds
            )
            settle_seconds = settle_time(
                rules.settle_seconds, longest_lateness_seconds=await get_longest_lateness(snapshot)
            )
        if window.since is None:
            return None
        provable = turn.at - window.since >= timedelta(seconds=settle_seconds)
        reading = await read_history(
            self._database, history, since=window.since - (DEPTH + BEFORE if provable else CLOCKS), now=turn.at,
            offset=self._offset, late_seconds=rules.settle_seconds / 2,
        )  # fmt: skip
        self._offset = reading.offset
        crash_point("resolve.after_read")
        async with self._database.snapshot() as snapshot:
            attempts = await list_candidates(
                snapshot, since=min(reading.reached, window.since) - CLOCKS,
                dead_seconds=max(DEAD_SECONDS_MIN, 4 * rules.lease_seconds),
            )  # fmt: skip
            await drop_owned(snapshot, reading)
            decided = await decide(snapshot, reading, attempts, settled=self._settled, settle_seconds=settle_seconds)
        await self._write(turn, reading, decided)
        return reading, window.newest_at

    async def _renew(self) -> None:
        """Renew the turn until canceled."""
        while True:
            await asyncio.sleep(self._rules.lease_seconds)
            try:
                async with self._database.statement() as session:
                    await renew_turn(session, owner=self._owner, lease_seconds=self._rules.turn_seconds)
            except StoreUnavailable:
                continue  # the read fails, too, or another worker reads as well

    async def _write(self, turn: Turn, reading: Reading, decided: Decided) -> None:
        async with self._database.transaction() as session:
            await note_lateness(session, missed=reading.missed, seen=reading.found)
        adoptions = [Adoption(*key, upstream_id) for upstream_id, key in decided.adopt.items()]
        for at in range(0, len(adoptions), BATCH_MAX):
            await self._adopt(reading, adoptions[at : at + BATCH_MAX])
        may_resubmit = turn.may_resubmit
        for upstream_id, key in decided.late.items():
            try:
                may_resubmit = await self._note_late(reading, upstream_id, key) and may_resubmit
            except asyncpg.IntegrityConstraintViolationError:  # one request must not stop the others
                log.exception("resolve.request_not_recorded", upstream_id=upstream_id)
        await self._contest(reading, decided)
        for at in range(0, len(decided.absent), BATCH_MAX):
            await self._prove(decided.absent[at : at + BATCH_MAX], may_resubmit)

    async def _adopt(self, reading: Reading, adoptions: Sequence[Adoption]) -> None:
        crash_point("adopt.before")
        try:
            async with self._database.transaction() as session:
                adopted = await adopt_attempts(session, adoptions=adoptions, resolution=Resolution.ADOPTED)
                ended = await finish_expired(session, jobs=adopted, reading=reading)
        except asyncpg.UniqueViolationError:
            log.info("resolve.request_taken")  # a sender was first; the next read sees it
            return
        crash_point("adopt.after")
        for job in adopted:
            log.info("submission.adopted", job_id=show_id("job", job.id), upstream_id=job.upstream_id)
        self._doorbell.announce((job.id for job in ended.rows), due=ended.due > 0)
        self._poll.ring()
        self._doorbell.ring("poll")

    async def _note_late(self, reading: Reading, upstream_id: str, key: Attempt) -> bool:
        """Return False if a proof of absence was refuted."""
        rows = reading.orphans[upstream_id]
        cost = next((row.charged_micro for row in rows if row.charged_micro is not None), None)
        late = LateRequest(*key, upstream_id, recovered_body(rows) if rows[0].ended else None, cost)
        crash_point("late.before")
        async with self._database.transaction() as session:
            resolution = None
            if await take_back_resubmit(session, late=late):
                resolution = Resolution.PROVEN_ABSENT
            elif rows[0].ended:  # before, its result and its cost are not known
                resolution = await note_late_request(session, late=late, worker=self._owner)
            refuted = resolution is Resolution.PROVEN_ABSENT
            if refuted:
                await refute_resubmits(session)
        crash_point("late.after")
        if resolution is not None:
            log.warning(
                "submission.request_late", job_id=show_id("job", key[0]), upstream_id=upstream_id, resolved=resolution
            )
        if refuted:
            log.warning("submission.absence_refuted", job_id=show_id("job", key[0]), upstream_id=upstream_id)
        return not refuted

    async def _contest(self, reading: Reading, decided: Decided) -> None:
        """Nobody gets a contested request. Once all its attempts are resolved, its cost is exposure without a tenant."""
        rows = [reading.orphans[upstream_id][0] for upstream_id in decided.contested]
        costs = {
            row.upstream_id: row.charged_micro
            for row in rows
            if row.upstream_id in decided.over and row.ended and row.charged_micro is not None
        }
        keys = sorted({key for attempts in decided.contested.values() for key in attempts})
        async with self._database.transaction() as session:
            if rows:
                await note_contested(session, rows=rows)
            marked = await mark_contested(session, attempts=keys, since=reading.reached)
            await settle_contested(session, costs=costs, horizon_seconds=self._rules.horizon_seconds)
        if marked:
            log.warning("submission.contested", requests=len(rows), attempts=marked)

    async def _prove(self, attempts: Sequence[Attempt], may_resubmit: bool) -> None:
        crash_point("prove.before")
        async with self._database.transaction() as session:
            absent = await prove_absent(session, attempts=attempts, may_resubmit=may_resubmit)
        crash_point("prove.after")
        over = [job for job in absent.moved if job.state in FINAL]
        for job in absent.moved:
            log.info("submission.absent", job_id=show_id("job", job.id), state=job.state)
        self._trouble.failed(over)
        self._doorbell.announce((job.id for job in over), due=absent.ended.due > 0)
        if absent.resubmitted:
            crash_point("resubmit.after")
            self._dispatch.ring()
            self._doorbell.ring("dispatch")


def _wait_seconds(now: datetime, newest_at: datetime | None, *, took_seconds: float) -> float:
    low, high = WAIT_SECONDS
    age = high * 4 if newest_at is None else (now - newest_at).total_seconds()
    return max(min(max(low, age / 4), high), took_seconds)
