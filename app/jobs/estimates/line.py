"""A tenant's line, its ready jobs by rank, and when each of them will be sent: pure, from one read of the line and of recent
jobs.

If all places in flight are taken, the tenant's own limit holds the line up. Then the line is simulated REPLICATIONS times: each
job in flight ends at a random time that its age allows, and the next job takes its place a little later (`pause_between`, as
observed). If places are free and jobs still wait, something outside the tenant holds the line up (the upstream's rate limit,
its share beside other tenants, too few workers). Then the line is expected to move as fast as since its first job began to
wait, looking back one minute at most. Positions behind the simulated ones are extrapolated from the last of them, at the
average speed of the line.
"""

import heapq
import math
import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import NormalDist

from app.jobs.estimates.eta import Durations

RANKS_MAX = 1_000
"""Positions up to this one are counted. Later ones are interpolated up to the end of the line."""
PLACES_MAX = 256
"""How many positions are simulated."""
RECENT_MAX = 256
SLOTS_MAX = 64
"""A tenant with more places in flight is simulated with this many."""
REPLICATIONS = 32
PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 2.0
PAIRS_MIN = 5
PACE_SECONDS = (0.5, 60.0)
"""How long the first job must have waited before the speed is measured, and how far back at most."""
FREE_SHARE = 0.1
"""One or two places are always free for a moment. Only if more are, something else holds the line up."""
DOUBT = 0.03
"""Relative standard error of the models' estimated mean times."""
NO_LIMIT = 2**31 - 1
GAUSS = tuple(NormalDist().inv_cdf((place + 0.5) / REPLICATIONS) for place in range(REPLICATIONS))


@dataclass(frozen=True, slots=True)
class Sent:
    """A recently sent job of the tenant. Instants are in seconds since 1970."""

    model: str
    sent_at: float
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """A tenant's line as it was at `read_at`. Instants are in seconds since 1970 by the database's clock."""

    read_at: float
    ready: int
    in_flight: int
    max_in_flight: int
    ranks: Sequence[float] = ()
    """The ranks of its first RANKS_MAX jobs."""
    last_rank: float = 0.0
    models: Sequence[str] = ()
    """The models of its first PLACES_MAX jobs."""
    waited_seconds: float = 0.0
    """How long its first job has waited."""
    recent: Sequence[Sent] = ()
    """The latest jobs before its first job, RECENT_MAX at most."""
    claimed: int = 0
    """How many of the ready jobs are claimed."""
    queued: int = 0
    max_queued: int = NO_LIMIT
    paused: bool = False
    paused_models: frozenset[str] = field(default_factory=frozenset)
    forbidden_models: frozenset[str] = field(default_factory=frozenset)
    """Those of `paused_models` whose submits the upstream answers with 403."""
    upstream_paused_seconds: float = 0.0
    """How much longer no tenant's jobs are sent. Negative: they are sent. Infinite: the end is not known."""

    @property
    def free(self) -> int:
        """Free places in flight."""
        return max(self.max_in_flight - self.in_flight - self.claimed, 0)

    @property
    def held_up_elsewhere(self) -> bool:
        """Whether jobs wait although there are free places."""
        enough = self.free > max(1, FREE_SHARE * self.max_in_flight)
        return enough and self.ready > self.claimed and self.waited_seconds >= PACE_SECONDS[0]

    def ahead(self, rank: float) -> float:
        """Return how many jobs are before a job of this rank."""
        if len(self.ranks) >= self.ready or not self.ranks or rank <= self.ranks[-1]:
            return bisect_left(self.ranks, rank)
        if rank >= self.last_rank:
            return self.ready - (rank == self.last_rank)
        counted, last = self.ranks[-1], self.ready - 1
        share = (rank - counted) / (self.last_rank - counted)
        return len(self.ranks) + (last - len(self.ranks)) * share


class QueueSimulation:
    """How a line may continue: for each position, REPLICATIONS equally likely waits, in seconds from the read of the line."""

    __slots__ = ("_line", "_pace", "_played", "_pull", "_scale")

    def __init__(self, line: Line, models: Mapping[str, Durations]) -> None:
        """`models`: the known models of the line and of the recent jobs, at least one."""
        self._line = line
        usual = next((models[name] for name in line.models if name in models), next(iter(models.values())))
        ahead = [models.get(name, usual) for name in line.models]
        self._scale = max(1.0, line.max_in_flight / SLOTS_MAX)
        chance = random.Random(line.ready)
        mean = math.fsum(durations.mean_seconds for durations in ahead) / len(ahead) if ahead else usual.mean_seconds
        pause = pause_between(line)
        self._played: list[list[float]] = []
        if line.free <= line.ready:
            self._played = _played(line, ahead, models, usual, scale=self._scale, pause=pause, chance=chance)
        self._pull = [1 + DOUBT * gauss for gauss in chance.sample(GAUSS, REPLICATIONS)]
        self._pace = (mean + pause) / max(line.max_in_flight, 1)

    def waits(self, place: float) -> list[float]:
        """Return the waits of a job that has `place` jobs before it."""
        waits = self._by_slots(place)
        if self._line.held_up_elsewhere:
            waits = [max(pair) for pair in zip(waits, _by_pace(self._line, place), strict=True)]
        return [max(wait, self._line.upstream_paused_seconds) for wait in waits]

    def _by_slots(self, place: float) -> list[float]:
        if not self._played or place < self._line.free:
            return [PAUSE_SECONDS] * REPLICATIONS
        scaled = place / self._scale
        last = len(self._played) - 1
        low = min(int(scaled), last)
        here, then = self._played[low], self._played[min(low + 1, last)]
        beyond = max(scaled - last, 0.0) * self._scale
        # the ends of independent simulations scatter by the square root of their length
        far = [beyond * self._pace + math.sqrt(beyond) * self._pace * gauss * 0.5 for gauss in GAUSS]
        part = min(scaled - low, 1.0)
        return [
            max((wait + (later - wait) * part + more) * pull, 0.0)
            for wait, later, more, pull in zip(here, then, far, self._pull, strict=True)
        ]


def _played(
    line: Line,
    ahead: Sequence[Durations],
    models: Mapping[str, Durations],
    usual: Durations,
    *,
    scale: float,
    pause: float,
    chance: random.Random,
) -> list[list[float]]:
    """For every position, in steps of `scale`, the seconds until it is sent in each replication."""
    slots = max(1, round(line.max_in_flight / scale))
    busy = min(slots, max(0, round(slots - line.free / scale)))
    flying = [
        (models.get(sent_job.model, usual), line.read_at - sent_job.sent_at)
        for sent_job in line.recent
        if not sent_job.finished_at
    ]
    seen = flying if len(flying) <= busy else chance.sample(flying, busy)
    steps = [durations.table for durations in ahead[:: max(1, int(scale))]]
    played: list[list[float]] = [[] for _ in range(len(steps) + 1)]
    draw = chance.random
    size = len(usual.table)
    lengths = list(accumulate(usual.table))
    for _ in range(REPLICATIONS):
        ends = [one.quantile(draw(), age_seconds=max(age, 0.0)) - age + pause for one, age in seen]
        # jobs that were not read are at a random point of their time, and longer times are likelier
        unseen = chance.choices(usual.table, cum_weights=lengths, k=busy - len(seen))
        ends += [whole * draw() + pause for whole in unseen]
        ends += [PAUSE_SECONDS] * (slots - busy)
        heapq.heapify(ends)
        for place, table in enumerate(steps):
            sent = ends[0]
            played[place].append(sent)
            heapq.heapreplace(ends, sent + table[int(draw() * size)] + pause)
        played[-1].append(ends[0])
    return played


def _by_pace(line: Line, place: float) -> list[float]:
    """The waits if the line moves as fast as since its first job began to wait."""
    seconds = min(line.waited_seconds, PACE_SECONDS[1])
    sent = [sent_job.sent_at for sent_job in line.recent if sent_job.sent_at > line.read_at - seconds]
    if len(sent) >= RECENT_MAX:
        seconds = max(line.read_at - min(sent), 1e-3)
    pace = (len(sent) + 0.5) / seconds
    spread = math.sqrt(math.log1p(1 / (place + 1) + 1 / (len(sent) + 1)))
    return [(place + 1) / pace * math.exp(spread * gauss) for gauss in GAUSS]


def pause_between(line: Line) -> float:
    """Return the seconds from a job's end until the next is sent in its place: the observed median, or PAUSE_SECONDS if the
    tenant's own limit has not held the line up long enough."""
    if line.waited_seconds <= 0 or line.held_up_elsewhere:
        return PAUSE_SECONDS
    since = line.read_at - line.waited_seconds
    sent = sorted((sent_job.sent_at for sent_job in line.recent if sent_job.sent_at > since), reverse=True)
    ends = sorted((sent_job.finished_at for sent_job in line.recent if sent_job.finished_at), reverse=True)
    # the last send took the place of the last end, not counting the places that are free now
    pauses = sorted(max(start - end, 0.0) for start, end in zip(sent, ends[line.free :], strict=False))
    if len(pauses) < PAIRS_MIN:
        return PAUSE_SECONDS
    return min(pauses[len(pauses) // 2], PAUSE_SECONDS_MAX)
