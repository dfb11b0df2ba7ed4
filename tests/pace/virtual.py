"""Two workers under one budget against the simulator's own rate limit, in virtual time.

They claim by the functions that a worker claims by, in turn submits and reads; what those read from Postgres is kept here.
"""

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from app.pace.decide import RateEstimate, update_estimate
from app.pace.models import Second, Throttled
from app.pace.pace import (
    LOOK_SECONDS_MIN,
    SUBMIT_PRICE,
    Bucket,
    Lately,
    Pace,
    Price,
    fetch_price,
    next_read_seconds,
    next_submit_seconds,
    pace_of,
    read_price,
    reads_granted,
    submits_granted,
)
from app.simulator.account import RateLimit
from app.simulator.config import SimulatorConfig

BEGAN_AT = 1_800_000_017.0
SLOTS = 64
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
        self.budget = RateEstimate()
        self.bucket = Bucket(refilled_at=BEGAN_AT)
        self.debt = 0
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

    def pace(self, now: float) -> Pace:
        """What may go out now."""
        minute = [second for at in range(int(now) - 60, int(now) + 1) if (second := self.seconds.get(at)) is not None]
        lately = Lately(
            sum(second.submits - second.refused_submits for second in minute if second.at > now - 60),
            sum(second.reads - second.refused_reads for second in minute if second.at > now - 60),
            sum(second.submits + second.reads for second in minute if second.at > now - 61),
        )
        return pace_of(self.budget, self.bucket, now=now, lately=lately, ceiling_per_minute=None)

    def spend(self, now: float, pace: Pace, price: Price, number: int) -> None:
        """So many requests go out."""
        self.bucket = Bucket(
            pace.shared - price.shared * number,
            pace.free - price.free * number,
            max(now, self.bucket.refilled_at),
        )
        self.budget = replace(self.budget, trial_reads=self.budget.trial_reads - price.trial * number)

    def claim(self, worker: int, now: float) -> None:
        """Reads that are due, then submits, of which there are always more."""
        waits = [self.claim_reads(worker, now), self.claim_submits(worker, now)]
        self.held_since[worker] = True
        # alarms are rounded, and the loop is busy now and then
        self.at(now + min(waits) + self.chance.uniform(0.0, 0.06), lambda later: self.claim(worker, later))

    def claim_reads(self, worker: int, now: float) -> float:
        """Gives the seconds until the next look."""
        pace = self.pace(now)
        if self.debt:
            self.count(now, reads=self.debt)
            self.spend(now, pace, fetch_price(pace), self.debt)
            self.debt, pace = 0, self.pace(now)
        granted = reads_granted(pace, asked=SLOTS)
        taken = [self.due.popleft() for _ in range(min(granted, len(self.due)))]
        if taken:
            self.count(now, reads=len(taken))
            self.spend(now, pace, read_price(pace), len(taken))
        for left in taken:
            self.send(worker, now, left, trial=pace.on_trial)
        return next_read_seconds(pace, granted=granted) if self.due else math.inf

    def claim_submits(self, worker: int, now: float) -> float:
        """Gives the seconds until the next look."""
        pace = self.pace(now)
        due = min(len(self.due), pace.reads_to_count)
        granted = submits_granted(pace, asked=SLOTS, reads_due=due)
        if granted:
            self.count(now, submits=granted)
            self.spend(now, pace, SUBMIT_PRICE, granted)
        for _ in range(granted):
            self.send(worker, now, None)
        return next_submit_seconds(pace, granted=granted, reads_due=due) if granted < SLOTS else LOOK_SECONDS_MIN

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
            self.debt += 1
            self.send(0, now, 0)

    def refused(self, now: float, sent_at: float, until: float, left: int | None) -> None:
        if left is not None:
            self.count(sent_at, refused_reads=1)
            self.due.append(max(left, 1))
        else:
            self.count(sent_at, refused_submits=1)
        before = self.budget
        self.learn(now, False, [Throttled(left is not None, sent_at, until if self.world.tells_reset else None)])
        if self.budget.resume_at > before.resume_at:  # whoever goes on after a pause begins with nothing in hand
            self.bucket = self.bucket._replace(tokens=min(self.bucket.tokens, 0.0))

    def tick(self, worker: int, now: float) -> None:
        if self.held_since.get(worker):
            self.learn(now, True, [])
            self.held_since[worker] = False
        self.at(now + 1.0, lambda later: self.tick(worker, later))

    def learn(self, now: float, held: bool, refused: list[Throttled], passed: int = 0) -> None:
        lately = [self.seconds[at] for at in range(int(now) - 200, int(now) + 1) if at in self.seconds]
        self.budget = update_estimate(self.budget, now=now, held=held, refused=refused, passed=passed, seconds=lately)

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
