"""Two workers under one budget against the simulator's own rate limit, in virtual time.

The pace here is what the claims do in SQL: tokens refilled by the rate, a trailing minute that holds so many at most.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from app.admission.decide import Budget, Refused, Second, learned
from app.upstream.simulator.account import RateLimit
from app.upstream.simulator.config import SimulatorConfig

BEGAN_AT = 1_800_000_017.0
LATENCY_SECONDS = (0.01, 0.3)
RECORD_SECONDS = 0.01
UNSETTLED_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class World:
    """An upstream, and the work there is. limits: (from second, requests a minute)."""

    kind: str
    counts_polls: bool
    limits: tuple[tuple[float, int], ...]
    seconds: float
    seed: int
    run_seconds: float = 9.0
    polls: int = 3
    workers: int = 2
    burst: int = 0
    tells_reset: bool = True
    """Whether a 429 names the instant at which there is room again."""


@dataclass(slots=True)
class Figures:
    """Of the settled time alone: what was used of what was allowed, and the share of requests answered 429."""

    allowed: float = 0.0
    used: int = 0
    sent: int = 0
    refused: int = 0
    worst_used: float = 1.0
    parts: list[str] = field(default_factory=list)

    @property
    def use(self) -> float:
        return self.used / self.allowed

    @property
    def refusals(self) -> float:
        return self.refused / max(self.sent, 1)


class Run:
    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = random.Random(world.seed)
        self.config = SimulatorConfig(
            rpm=world.limits[0][1], rate_kind=world.kind, rate_counts_polls=world.counts_polls, rate_burst=world.burst
        )  # type: ignore[arg-type]
        self.upstream = RateLimit(self.config)
        self.budget = Budget()
        self.tokens, self.refilled_at = 0.0, BEGAN_AT
        self.seconds: dict[int, Second] = {}
        self.due: deque[int] = deque()  # reads that are due: what is left of the job's
        self.events: list[tuple[float, int, Callable[[float], None]]] = []
        self.order = itertools.count()
        self.waking: set[int] = set()
        self.log: list[tuple[float, bool, bool]] = []  # at, counted, refused
        self.reads_log: list[bool] = []
        self.held_since: dict[int, bool] = {}

    def at(self, when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self.events, (when, next(self.order), what))

    def run(self) -> None:
        for second, rpm in self.world.limits[1:]:
            self.at(BEGAN_AT + second, lambda _now, rpm=rpm: setattr(self.config, "rpm", rpm))
        for worker in range(self.world.workers):
            self.at(BEGAN_AT + worker * 0.001, lambda now, worker=worker: self.claim(worker, now))
            self.at(BEGAN_AT + 1 + worker * 0.37, lambda now, worker=worker: self.tick(worker, now))
        end = BEGAN_AT + self.world.seconds
        while self.events and self.events[0][0] < end:
            now, _, what = heapq.heappop(self.events)
            what(now)

    def count(self, now: float, **more: int) -> None:
        at = int(now)
        second = self.seconds.get(at) or Second(at)
        self.seconds[at] = replace(second, **{name: getattr(second, name) + by for name, by in more.items()})

    def trailing(self, now: float) -> float:
        free = self.budget.reads_free
        return sum(
            (s.submits - s.refused_submits) + (0 if free else s.reads - s.refused_reads)
            for at in range(int(now) - 59, int(now) + 1)
            if (s := self.seconds.get(at)) is not None
        )

    def claim(self, worker: int, now: float) -> None:
        budget = self.budget
        self.tokens = min(budget.burst, self.tokens + budget.rate * max(0.0, now - self.refilled_at))
        self.refilled_at = max(now, self.refilled_at)
        free = budget.reads_free
        most = int(self.tokens) if now >= budget.resume_at else 0
        if budget.window_max is not None:
            most = max(0, min(most, int(budget.window_max - self.trailing(now))))
        taken = 0
        while self.due and (free or taken < most) and (now >= budget.resume_at or free):
            left = self.due.popleft()
            if not free:
                taken += 1
            self.count(now, reads=1)
            self.send(worker, now, left)
        trial = budget.trial_reads if now < budget.resume_at and not free else 0
        while self.due and trial:
            trial -= 1
            self.budget = replace(self.budget, trial_reads=trial)
            self.count(now, reads=1)
            self.send(worker, now, self.due.popleft(), trial=True)
        while taken < most:
            taken += 1
            self.count(now, submits=1)
            self.send(worker, now, None)
        self.tokens -= taken
        self.held_since[worker] = True
        wait = max((1 - self.tokens) / budget.rate, 0.005, budget.resume_at - now)
        if budget.window_max is not None and budget.window_max - self.trailing(now) < 1:
            wait = max(wait, 0.2)
        wait = min(wait, 0.5)
        # alarms are rounded, and the loop is busy now and then
        self.at(now + wait + self.chance.uniform(0.0, 0.06), lambda later: self.claim(worker, later))

    def send(self, worker: int, now: float, left: int | None, *, trial: bool = False) -> None:
        there = now + self.chance.uniform(*LATENCY_SECONDS) / 2
        self.at(there, lambda arrived: self.arrive(now, arrived, left, trial))

    def arrive(self, sent_at: float, now: float, left: int | None, trial: bool) -> None:
        is_read = left is not None
        counts = not is_read or self.world.counts_polls
        until = self.upstream.refused_until(now) if counts else None
        self.log.append((now, counts, until is not None))
        back = now + self.chance.uniform(*LATENCY_SECONDS) / 2
        if until is None:
            self.at(back, lambda told: self.accepted(told, left, trial))
        else:
            self.at(back + RECORD_SECONDS, lambda told: self.refused(told, sent_at, until, left))

    def accepted(self, now: float, left: int | None, trial: bool) -> None:
        if trial:
            self.learn(now, False, [], passed=1)
        polls = self.world.polls
        if left is None:
            self.at(now + self.world.run_seconds / polls, lambda _due: self.due.append(polls))
        elif left > 1:
            self.at(now + self.world.run_seconds / polls, lambda _due: self.due.append(left - 1))
        elif left == 1:  # its fetch follows at once, and is charged afterwards
            self.tokens -= 0 if self.budget.reads_free else 1
            self.count(now, reads=1)
            self.send(0, now, 0)

    def refused(self, now: float, sent_at: float, until: float, left: int | None) -> None:
        if left is not None:
            self.count(sent_at, refused_reads=1)
            self.due.append(max(left, 1))
        else:
            self.count(sent_at, refused_submits=1)
        before = self.budget
        self.learn(now, False, [Refused(left is not None, sent_at, until if self.world.tells_reset else None)])
        if self.budget.cut_at != before.cut_at:
            self.tokens = min(self.tokens, 0.0)
        if self.budget.resume_at != before.resume_at:
            self.refilled_at = max(self.refilled_at, self.budget.resume_at)

    def tick(self, worker: int, now: float) -> None:
        if self.held_since.get(worker):
            self.learn(now, True, [])
            self.held_since[worker] = False
        self.at(now + 1.0, lambda later: self.tick(worker, later))

    def learn(self, now: float, held: bool, refused: list[Refused], passed: int = 0) -> None:
        lately = [self.seconds[at] for at in range(int(now) - 200, int(now) + 1) if at in self.seconds]
        self.budget = learned(self.budget, now=now, held=held, refused=refused, passed=passed, seconds=lately)

    def figures(self) -> Figures:
        found = Figures()
        marks = [second for second, _ in self.world.limits] + [self.world.seconds]
        for place, (_, rpm) in enumerate(self.world.limits):
            low, high = BEGAN_AT + marks[place] + UNSETTLED_SECONDS, BEGAN_AT + marks[place + 1]
            if high <= low:
                continue
            inside = [(counted, refused) for at, counted, refused in self.log if low <= at < high]
            used = sum(counted and not refused for counted, refused in inside)
            refused = sum(refused for _, refused in inside)
            sent = sum(counted for counted, _ in inside)
            allowed = rpm * (high - low) / 60
            found.allowed += allowed
            found.used += used
            found.sent += sent
            found.refused += refused
            found.worst_used = min(found.worst_used, used / allowed)
            found.parts.append(f"{rpm}: {used / allowed:.3f} used, {refused / max(sent, 1):.4f} refused")
        return found


def run(world: World) -> Figures:
    """One run."""
    running = Run(world)
    running.run()
    return running.figures()


def draw_world(kind: str, counts_polls: bool, seed: int, *, settled_seconds: float = 240.0, burst: int = 0) -> World:
    """Limits between 60 and 1,000 that change three times, up to eightfold each time."""
    chance = random.Random(seed)
    rpm = chance.choice((60, 120, 250, 500, 1000))
    limits = [(0.0, rpm)]
    for place in range(1, 4):
        factor = chance.choice((1 / 8, 1 / 4, 1 / 2, 0.7, 1.5, 2, 4, 8))
        rpm = max(60, min(1000, round(rpm * factor)))
        limits.append((place * (UNSETTLED_SECONDS + settled_seconds) + chance.uniform(0, 20), rpm))
    seconds = 4 * (UNSETTLED_SECONDS + settled_seconds)
    return World(kind, counts_polls, tuple(limits), seconds, seed, burst=burst)
