"""The ETAs and positions of jobs in an API process, from reads that its requests share.

A tenant's line is read at most once in LINE_SECONDS, and only for a request. It is read sooner if a request shows a job that it
does not have yet. The times of a model are read once in MODEL_SECONDS. A submit reads nothing: it gets what is known.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.core import clock
from app.core.database.db import Database
from app.core.errors import StoreUnavailable
from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger
from app.core.process.pieces import each
from app.jobs.estimates.eta import Durations, Expected, learned, of_flying, of_waiting
from app.jobs.estimates.line import Line, QueueSimulation
from app.jobs.models import State
from app.jobs.queries import list_durations, read_line
from app.jobs.rows import ShownJob

log = get_logger(__name__)

LINE_SECONDS = 1.0
NEWCOMER_SECONDS = 0.1
"""How long a read line is used if it does not have a shown job yet."""
MODEL_SECONDS = 10.0
AGAIN_SECONDS = 1.0
"""When to read again what could not be read."""
LINES_MAX = 5_000
MODELS_MAX = 2_000
LAST = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Estimate:
    """When a job will have ended with probability 50 % and 90 %, and its position in its tenant's line from 1. None: not known,
    or there is none."""

    p50: datetime | None = None
    p90: datetime | None = None
    position: int | None = None


NO_ESTIMATE = Estimate()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A ready job, or one that waits for its time. `due_at`: None if it is parked."""

    model: str
    rank_at: datetime
    ready: bool
    due_at: datetime | None
    deadline_at: datetime | None


class QueueSnapshot:
    """A line, when it was read by this process's monotonic clock, and how it may continue."""

    __slots__ = ("_simulation", "at", "line")

    def __init__(self, line: Line, at: float) -> None:
        self.line = line
        self.at = at
        self._simulation: QueueSimulation | None = None

    @property
    def played(self) -> bool:
        """Whether the line has been simulated. The first call of `waits` does it and is expensive."""
        return self._simulation is not None

    def waits(self, place: float, models: Mapping[str, Durations]) -> Sequence[float] | None:
        """Return equally likely seconds from the read until a job with `place` jobs before it is sent. None: not known."""
        line = self.line
        if line.paused or line.max_in_flight < 1 or math.isinf(line.upstream_paused_seconds) or not models:
            return None
        if self._simulation is None:
            self._simulation = QueueSimulation(line, models)
        return self._simulation.waits(place)


class EtaEstimator:
    """The expectations of one API process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._snapshots: OrderedDict[UUID, QueueSnapshot] = OrderedDict()
        self._reading: dict[UUID, asyncio.Task[QueueSnapshot | None]] = {}
        self._models: OrderedDict[str, tuple[Durations | None, float]] = OrderedDict()
        self._learning = asyncio.Lock()
        self._unread = Outage(log, begun="eta.run_times_not_read", over="eta.run_times_read")

    async def of_jobs(self, tenant_id: UUID, rows: Sequence[ShownJob]) -> dict[UUID, Estimate]:
        """Return the expectations for these jobs, except ended ones. While the database is unavailable: what is known."""
        open_ones = [row for row in rows if row.state in ("queued", "sending", "running")]
        models = {row.model for row in open_ones}
        waiting = [row for row in open_ones if row.state == State.QUEUED]
        newest = max((_seconds(row.rank_at) for row in waiting if row.ready), default=-math.inf)
        look = await self.look(tenant_id, newest_rank=newest) if waiting else None
        await self.learn(models if look is None else models | _named(look.line))
        return dict(await each(open_ones, lambda row: (row.id, self._estimate(row, look))))

    def of_new(self, tenant_id: UUID, row: ShownJob) -> Estimate:
        """Return the expectation for a job that was just accepted, as far as it is known without a read."""
        look = self._snapshots.get(tenant_id)
        if look is not None and (clock.monotonic() - look.at > LINE_SECONDS or not look.played):
            look = None
        return self._estimate(row, look)

    async def look(self, tenant_id: UUID, *, newest_rank: float = -math.inf) -> QueueSnapshot | None:
        """Return the tenant's line as it was a moment ago. None if it could not be read."""
        kept = self._snapshots.get(tenant_id)
        if kept is not None:
            believed_seconds = NEWCOMER_SECONDS if newest_rank > kept.line.last_rank else LINE_SECONDS
            if clock.monotonic() - kept.at <= believed_seconds:
                return kept
        reading = self._reading.get(tenant_id)
        if reading is None:
            reading = asyncio.create_task(self._read(tenant_id))
            self._reading[tenant_id] = reading
            reading.add_done_callback(lambda _: self._reading.pop(tenant_id))
        return await asyncio.shield(reading)

    async def learn(self, models: Iterable[str]) -> Mapping[str, Durations]:
        """Return how long jobs of these models take, without models that are not known. At most one statement."""
        wanted = set(models)
        if self._stale(wanted):
            async with self._learning:
                stale = self._stale(wanted)
                if stale:
                    await self._learn(stale)
        return {model: known for model in wanted if (known := self._known(model)) is not None}

    def _known(self, model: str) -> Durations | None:
        return self._models.get(model, (None, 0.0))[0]

    def _stale(self, models: Iterable[str]) -> list[str]:
        now = clock.monotonic()
        return [model for model in models if model not in self._models or self._models[model][1] < now]

    async def _learn(self, models: Sequence[str]) -> None:
        asked_at = clock.monotonic()
        try:
            async with self._database.snapshot() as session:
                rows = await list_durations(session, models=models)
        except StoreUnavailable as error:
            self._unread.met(cause=repr(error.__cause__))
            for model in models:
                self._models[model] = (self._known(model), asked_at + AGAIN_SECONDS)
            return
        self._unread.passed()
        for model, samples, published in rows:
            self._models[model] = (learned(samples, published_seconds=published), asked_at + MODEL_SECONDS)
            self._models.move_to_end(model)
        while len(self._models) > MODELS_MAX:
            self._models.popitem(last=False)

    async def _read(self, tenant_id: UUID) -> QueueSnapshot | None:
        asked_at = clock.monotonic()
        try:
            async with self._database.snapshot(tenant_id, point=True) as session:
                line = await read_line(session, tenant_id=tenant_id)
        except StoreUnavailable as error:
            log.warning("eta.queue_not_read", cause=repr(error.__cause__))
            return self._snapshots.get(tenant_id)
        look = self._snapshots[tenant_id] = QueueSnapshot(line, asked_at)
        self._snapshots.move_to_end(tenant_id)
        if len(self._snapshots) > LINES_MAX:
            self._snapshots.popitem(last=False)
        return look

    def of_waiting(self, job: Waiting, look: QueueSnapshot | None, *, now: datetime) -> Estimate:
        """Return the expectation for a job that waits, or would wait."""
        if look is None:
            return NO_ESTIMATE
        waits = self.waits(job, look)
        line, times = look.line, self._known(job.model)
        position = int(line.ahead(_seconds(job.rank_at))) + 1 if job.ready else None
        if waits is None or times is None or job.due_at is None:
            return Estimate(position=position)
        ends = of_waiting(
            times,
            waits,
            deadline_seconds=math.inf if job.deadline_at is None else _seconds(job.deadline_at) - line.read_at,
        )
        return _shown(ends, datetime.fromtimestamp(line.read_at, UTC), now, position)

    def waits(self, job: Waiting, look: QueueSnapshot) -> Sequence[float] | None:
        """Return equally likely seconds from the read until the job is sent. None: not known."""
        line = look.line
        if job.due_at is None or job.model in line.paused_models:
            return None
        named = {*_named(line), job.model}
        known = {name: times for name in named if (times := self._known(name)) is not None}
        waits = look.waits(line.ahead(_seconds(job.rank_at)), known)
        if waits is None or job.ready:
            return waits
        earliest = _seconds(job.due_at) - line.read_at
        return [max(wait, earliest) for wait in waits]

    def _estimate(self, row: ShownJob, look: QueueSnapshot | None) -> Estimate:
        read_at: datetime = row.read_at
        if row.state == State.QUEUED:
            waiting = Waiting(row.model, row.rank_at, row.ready, row.due_at, row.deadline_at)
            return self.of_waiting(waiting, look, now=read_at)
        times = self._known(row.model)
        if times is None or row.sent_at is None or row.state not in (State.SENDING, State.RUNNING):
            return NO_ESTIMATE
        flying = of_flying(times, age_seconds=(read_at - row.sent_at).total_seconds())
        return _shown(flying, read_at, read_at, None)


def _named(line: Line) -> set[str]:
    """The models whose times the simulation of the line needs."""
    return {*line.models, *(sent_job.model for sent_job in line.recent if sent_job.finished_at is None)}


def _seconds(at: datetime) -> float:
    return at.timestamp()


def _shown(expected: Expected, since: datetime, now: datetime, position: int | None) -> Estimate:
    """The expectation as instants, none before now. After the year 9999 it has none."""
    if expected.p90 > (LAST - since).total_seconds():
        return Estimate(position=position)
    soonest = now + timedelta(milliseconds=1)
    p50, p90 = (since + timedelta(seconds=seconds) for seconds in (expected.p50, expected.p90))
    return Estimate(max(p50, soonest), max(p90, soonest), position)
