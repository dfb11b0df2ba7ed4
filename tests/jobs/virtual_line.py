"""A tenant's line in virtual time: jobs of several models, a limit in flight, and what was expected of each."""

import heapq
import math
import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from app.jobs.estimates.eta import Durations, Expected, learned, of_flying, of_waiting
from app.jobs.estimates.line import PLACES_MAX, RANKS_MAX, RECENT_MAX, Line, QueueSimulation, Sent
from app.jobs.estimates.schedule import SAMPLES_MAX

MODELS = {"image": (3.0, 0.25), "svd": (62.74, 0.3), "video": (189.0, 0.5)}
"""Mean run time in seconds and sigma of each."""


@dataclass(slots=True)
class Job:
    """One job; instants in seconds, -1: not yet."""

    model: str
    created_at: float
    run_seconds: float
    sent_at: float = -1.0
    finished_at: float = -1.0
    expected: dict[str, tuple[float, Expected]] = field(default_factory=dict)
    """What was expected of its end: at which instant, and in how many seconds from then."""


class VirtualTenant:
    """Sends at most `slots` jobs at once, each `pause` seconds after a place has come free; an upstream that takes
    `per_second` starts at most delays the rest."""

    def __init__(self, chance: random.Random, *, slots: int, pause: float = 0.05, per_second: float = math.inf) -> None:
        self.chance = chance
        self.slots, self.pause, self.gap = slots, pause, 1 / per_second
        self.now = 0.0
        self.free = slots
        self.line: deque[Job] = deque()
        self.sent: list[Job] = []
        self.ended: list[tuple[float, int, Job]] = []
        self.times = {name: deque((self.draw(name) for _ in range(SAMPLES_MAX)), SAMPLES_MAX) for name in MODELS}
        self._known: dict[str, Durations] = {}
        self._events: list[tuple[float, int, str, Job | None]] = []
        self._count = 0
        self._next_send_at = 0.0

    def draw(self, model: str) -> float:
        mean, sigma = MODELS[model]
        return mean * math.exp(self.chance.gauss(0, sigma) - sigma**2 / 2)

    def later(self, at: float, what: str, job: Job | None) -> None:
        self._count += 1
        heapq.heappush(self._events, (at, self._count, what, job))

    def run(self, arrivals: Iterable[tuple[float, str]]) -> list[Job]:
        """Every job, ended; each was asked about when it was submitted, and at a random age in flight."""
        jobs = [Job(model, at, self.draw(model)) for at, model in arrivals]
        for job in jobs:
            self.later(job.created_at, "submit", job)
        while self._events:
            self.now, _, what, job = heapq.heappop(self._events)
            getattr(self, f"_{what}")(job)
        return jobs

    def _submit(self, job: Job) -> None:
        self.line.append(job)
        self.later(self.now + self.pause, "send", None)
        job.expected["queued"] = (self.now, self.expect_waiting(job))

    def _send(self, _job: None) -> None:
        if not self.line or not self.free:
            return
        if self.now < self._next_send_at:
            self.later(self._next_send_at, "send", None)
            return
        self._next_send_at = self.now + self.gap
        job = self.line.popleft()
        self.free -= 1
        job.sent_at = self.now
        self.sent.append(job)
        self.later(self.now + job.run_seconds, "end", job)
        # at an age that knows nothing of the job's own time, as people ask
        self.later(self.now + 1.5 * MODELS[job.model][0] * self.chance.random(), "ask", job)
        if self.line and self.free:
            self.later(self._next_send_at, "send", None)

    def _ask(self, job: Job) -> None:
        if job.finished_at >= 0:
            return
        flying = of_flying(self.durations()[job.model], age_seconds=self.now - job.sent_at)
        job.expected["running"] = (self.now, flying)

    def _end(self, job: Job) -> None:
        job.finished_at = self.now
        self.free += 1
        self.times[job.model].appendleft(job.run_seconds)
        self._known.pop(job.model, None)
        self.later(self.now + self.pause, "send", None)

    def durations(self) -> Mapping[str, Durations]:
        for name, times in self.times.items():
            if name not in self._known:
                found = learned(list(times), published_seconds=None)
                assert found is not None
                self._known[name] = found
        return self._known

    def look(self) -> Line:
        """The line as it stands."""
        ranks = [job.created_at for job in self.line]
        return Line(
            read_at=self.now,
            ready=len(ranks),
            in_flight=self.slots - self.free,
            max_in_flight=self.slots,
            ranks=ranks[:RANKS_MAX],
            last_rank=ranks[-1] if ranks else 0.0,
            models=[job.model for job in list(self.line)[:PLACES_MAX]],
            waited_seconds=self.now - ranks[0] if ranks else 0.0,
            recent=[
                Sent(job.model, job.sent_at, job.finished_at if job.finished_at >= 0 else None)
                for job in self.sent[: -RECENT_MAX - 1 : -1]
            ],
        )

    def expect_waiting(self, job: Job) -> Expected:
        line = self.look()
        models = self.durations()
        return of_waiting(models[job.model], QueueSimulation(line, models).waits(line.ahead(job.created_at)))


def poisson(
    chance: random.Random, *, per_second: float, number: int, began_at: float = 0.0
) -> Iterator[tuple[float, str]]:
    """Jobs of any model, at random instants."""
    at = began_at
    for _ in range(number):
        at += chance.expovariate(per_second)
        yield at, chance.choice(list(MODELS))


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often what was expected with 50 % and with 90 % had happened by then."""

    number: int
    p50: float
    p90: float

    @property
    def band(self) -> float:
        return self.p90 - self.p50


def coverage(jobs: Iterable[Job], when: str) -> Coverage:
    """Of what was expected of these jobs at that stage."""
    asked = [
        (at, expected, job.finished_at) for job in jobs if when in job.expected for at, expected in [job.expected[when]]
    ]
    half = sum(end <= at + expected.p50 for at, expected, end in asked)
    ninety = sum(end <= at + expected.p90 for at, expected, end in asked)
    return Coverage(len(asked), half / len(asked), ninety / len(asked))
