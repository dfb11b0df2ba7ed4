"""Hold the polls of clients that poll steadily: from the third poll on, for at most the client's own interval (`decide`).

The client then gets the end of its job immediately instead of half an interval later, and polls half as often.

Redis stores the times, so that all API processes know them, and its clock measures the intervals. An answer is recorded
without waiting. An arrival is waited for, and counted from the instant at which the request arrived. All polls of a process
that arrive or are answered during one round trip share the next one.

Without Redis no poll is held. A poll never fails because of Redis, and waits for it at most REDIS_SECONDS, or twice that
behind another. After a timeout none waits until Redis is back, and as fast as that.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from redis.asyncio import Redis

from app.core import clock
from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger
from app.core.process.batch import Batcher, Overloaded
from app.core.process.cancel import cancel_all
from app.core.redis.in_time import in_time
from app.core.redis.redis_pool import open_redis
from app.core.redis.subscription import UNAVAILABLE_ERRORS
from app.segmind.decide import GONE, SECOND, PollTimes, held_micros, interval_of

log = get_logger(__name__)

_SCRIPT = Path(__file__).with_name("note_polls.lua").read_text(encoding="utf-8")

PREFIX = "waystation:polled:"
PROBE = f"{PREFIX}probe"
KNOWN_SECONDS = 60
"""How long the times are stored after an answer. A client that polls less often is not held."""
REDIS_SECONDS = 0.25
PROBE_SECONDS = 0.5
"""How often a process tries to reach a lost Redis."""
PROBE_SECONDS_MAX = 2.0
"""How long such a try may take: it may have to connect. A second one, which has not, must take REDIS_SECONDS at most."""
PAUSE_SECONDS = 0.002
"""Between two round trips. A poll after an idle time does not wait for it."""
GROUP_MAX = 200
WAITING_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll that has arrived. `interval`: before it, in microseconds. None: not known."""

    key: str
    interval: int | None = None
    held_seconds: float = 0.0
    """How long it may be held from now on."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    """`arrived_at`: by this process's monotonic clock."""

    key: str
    arrived_at: float


class SteadyPolls:
    """The status polls of one API process."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = open_redis(url, max_connections=4)
        self._script = self._redis.register_script(_SCRIPT)
        self._batcher: Batcher[_Arrival | Poll, Poll | None] = Batcher(
            self._flush, size_max=GROUP_MAX, waiting_max=WAITING_MAX, pause_seconds=PAUSE_SECONDS
        )
        self._seeking: asyncio.Task[None] | None = None
        self._away = Outage(log, begun="polls.not_held", over="polls.held")

    @property
    def away(self) -> bool:
        """Whether this process has lost Redis, and holds no poll."""
        return self._seeking is not None

    async def arrived(self, key_id: UUID, job_id: UUID, *, arrived_at: float) -> Poll:
        """Return how long a poll may be held. `arrived_at`: by `clock.monotonic`."""
        key = f"{PREFIX}{key_id.hex}:{job_id.hex}"
        if self._seeking is None:
            with suppress(Overloaded):
                return await self._batcher.put(_Arrival(key, arrived_at)) or Poll(key)
        return Poll(key)

    def answered(self, poll: Poll, *, gone: bool = False) -> None:
        """Store that a poll is answered now, and its job has not ended. `gone`: its client has hung up. Waits for nothing."""
        if self._seeking is None:
            with suppress(Overloaded):
                self._batcher.post(replace(poll, interval=GONE) if gone else poll)

    async def close(self) -> None:
        """Store the last answers, stop trying to reach Redis, and disconnect."""
        await self._batcher.drained()
        if self._seeking is not None:
            await cancel_all([self._seeking])
        await self._redis.aclose()

    async def _flush(self, group: Sequence[_Arrival | Poll]) -> Sequence[Poll | None]:
        if self._seeking is not None:
            return [None] * len(group)
        # in a group an answer goes before the arrivals: they were sent before this process knew of it, or after
        answers = [one for one in group if isinstance(one, Poll)]
        arrivals = [one for one in group if isinstance(one, _Arrival)]
        try:
            async with in_time(REDIS_SECONDS):
                now, *found = await self._note(answers, [one.key for one in arrivals])
        except UNAVAILABLE_ERRORS as error:
            self._away.met(cause=repr(error))
            self._seeking = asyncio.create_task(self._seek())
            return [None] * len(group)
        polls = iter([_polled(one, known, now) for one, known in zip(arrivals, found, strict=True)])
        return [next(polls) if isinstance(one, _Arrival) else None for one in group]

    async def _note(self, answers: Sequence[Poll], arrived: Sequence[str]) -> list[int | bytes | None]:
        """One round trip. Returns the time of Redis, and what is known about each of the arrived."""
        intervals = ["" if one.interval is None else one.interval for one in answers]
        told: list[int | bytes | None] = await self._script(
            keys=[*(one.key for one in answers), *arrived],
            args=[len(answers), KNOWN_SECONDS * 1000, *intervals],
        )
        return told

    async def _seek(self) -> None:
        """Wait until Redis is back. The probe writes, so that a Redis that accepts only reads counts as unavailable."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                for seconds in (PROBE_SECONDS_MAX, REDIS_SECONDS):
                    async with in_time(seconds):
                        await self._note([Poll(PROBE)], [PROBE])
            except UNAVAILABLE_ERRORS as error:
                log.debug("polls.redis_still_away", cause=repr(error))
                continue
            self._seeking = None
            self._away.passed()
            return


def _polled(arrival: _Arrival, known: bytes | int | None, now: bytes | int | None) -> Poll:
    assert isinstance(now, int)
    times = _times(known) if isinstance(known, bytes) else None
    waited = round((clock.monotonic() - arrival.arrived_at) * SECOND)
    interval = interval_of(times, now=now, waited=waited)
    return Poll(arrival.key, interval, max(0, held_micros(times, interval) - waited) / SECOND)


def _times(known: bytes) -> PollTimes | None:
    try:
        answered_at, *intervals = map(int, known.split())
    except ValueError:  # not written by us: a poll must not fail because of it
        return None
    return PollTimes(answered_at, tuple(intervals))
