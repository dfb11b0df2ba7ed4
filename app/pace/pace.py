"""The pace: how many requests may go to the upstream now, as pure functions.

A token bucket holds all kinds that count towards the upstream's limit to an even rate, and a count of the trailing minute
keeps from asking for what is known to be full. Reads that do not count have a bucket of their own. Claims and the tests in
virtual time use the same functions. Instants are seconds since 1970, rates are per second, limits per minute.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from app.pace.decide import RISE_TO, WINDOW_SECONDS, Budget

BURST_SECONDS = 0.25
BURST_MIN = 1.5
"""So many tokens may gather: those of BURST_SECONDS, and BURST_MIN at least."""
TRICKLE_RATE = 1.0
"""Reads a second while the upstream is taken to be away."""
LOOK_SECONDS_MIN = 0.02
"""The least time between two looks for tokens: what comes in between is taken in one go."""
LOOK_SECONDS_MAX = 1.0
"""The most time between two looks: the budget may have changed by then."""
ROOM_SECONDS = 0.25
"""The least time until the next look where the trailing minute is full."""
BROKEN_SECONDS = 1.0
"""The same for submits while the upstream is taken to be away."""
NEARLY = 1e-6
"""Of a token that lacks no more than this, rounding took the rest."""


class Bucket(NamedTuple):
    """Tokens that were there at `refilled_at`: for requests that count, and for reads while they do not. Below zero: a
    debt."""

    tokens: float = 0.0
    read_tokens: float = 0.0
    refilled_at: float = 0.0


class Lately(NamedTuple):
    """What the trailing minute holds: submits and reads that were granted and not refused; `all_kinds`: all that was
    granted in it and the second before."""

    submits: int = 0
    reads: int = 0
    all_kinds: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """What may go out now. `shared`, `shared_rate`: tokens for all that counts towards the limit, and how many come a
    second. `free`, `free_rate`: the same for reads that do not count. `room`: what the trailing minute still holds,
    `room_of_all`: the same of the configured ceiling; infinite: no limit. `resume_seconds`: how long nothing that counts
    may go out. `reads_free`: reads do not count. `limited`: a limit is known. `trial_reads`: so many reads may go out in
    the pause, to find out whether they count. `broken`: the upstream is taken to be away."""

    shared: float
    free: float
    shared_rate: float
    free_rate: float
    room: float
    room_of_all: float
    resume_seconds: float
    reads_free: bool
    limited: bool
    trial_reads: int
    broken: bool

    @property
    def on_trial(self) -> bool:
        """Whether a read that goes out now does so in spite of the pause."""
        return not self.reads_free and self.resume_seconds > 0

    @property
    def reads_to_count(self) -> int:
        """Up to how many due reads must be counted before submits are granted: they come first, where both count."""
        return 0 if self.reads_free or not self.limited else math.ceil(max(self.shared, 0.0))


def pace_of(budget: Budget, bucket: Bucket, *, now: float, lately: Lately, ceiling_per_minute: float | None) -> Pace:
    """The pace at that instant."""
    ceiling = math.inf if ceiling_per_minute is None else ceiling_per_minute
    if budget.broken_at is None:
        free_rate = min(budget.ease_rate, ceiling / WINDOW_SECONDS)
        shared_rate = min(budget.rate, free_rate)
    else:
        shared_rate = free_rate = TRICKLE_RATE
    room_of_all = ceiling - lately.all_kinds
    return Pace(
        shared=_refilled(bucket.tokens, shared_rate, now - max(bucket.refilled_at, budget.resume_at)),
        free=_refilled(bucket.read_tokens, free_rate, now - bucket.refilled_at),
        shared_rate=shared_rate,
        free_rate=free_rate,
        room=min(_room(budget, lately), room_of_all),
        room_of_all=room_of_all,
        resume_seconds=max(0.0, budget.resume_at - now),
        reads_free=budget.reads_free,
        limited=budget.limit is not None,
        trial_reads=budget.trial_reads,
        broken=budget.broken_at is not None,
    )


def _refilled(tokens: float, rate: float, seconds: float) -> float:
    return min(max(BURST_MIN, BURST_SECONDS * rate), tokens + rate * max(0.0, seconds))


def _room(budget: Budget, lately: Lately) -> float:
    """What the trailing minute may still take of the learned limit."""
    if budget.limit is None:
        return math.inf
    counting = lately.submits if budget.reads_free else lately.submits + lately.reads
    return max(budget.limit * RISE_TO, budget.rate * WINDOW_SECONDS, 1.0) - counting


def submits_granted(pace: Pace, *, asked: int, reads_due: int) -> int:
    """How many of the submits asked for may go out now, by the pace alone."""
    if pace.broken or pace.resume_seconds > 0:
        return 0
    return _whole(min(pace.shared - reads_due + NEARLY, pace.room, asked))


def reads_granted(pace: Pace, *, asked: int) -> int:
    """How many of the reads asked for may go out now."""
    if pace.reads_free:
        return _whole(min(pace.free + NEARLY, pace.room_of_all, asked))
    if pace.on_trial:
        return 0 if pace.broken else min(pace.trial_reads, asked)
    return _whole(min(pace.shared + NEARLY, pace.room, asked))


def _whole(number: float) -> int:
    return max(0, math.floor(number))


def next_submit_seconds(pace: Pace, *, granted: int, reads_due: int) -> float:
    """When to look again for a submit's token, once so many were granted."""
    resume = max(pace.resume_seconds, BROKEN_SECONDS if pace.broken else 0.0)
    return _next_look(1 + reads_due + granted - pace.shared, pace.shared_rate, pace.room - granted, resume)


def next_read_seconds(pace: Pace, *, granted: int) -> float:
    """When to look again for a read's token, once so many were granted."""
    if pace.reads_free:
        return _next_look(1 + granted - pace.free, pace.free_rate, pace.room_of_all - granted, 0.0)
    return _next_look(1 + granted - pace.shared, pace.shared_rate, pace.room - granted, pace.resume_seconds)


def _next_look(missing: float, rate: float, room: float, resume: float) -> float:
    full = ROOM_SECONDS if room < 1 else 0.0
    return min(LOOK_SECONDS_MAX, max(LOOK_SECONDS_MIN, resume, missing / rate, full))


@dataclass(frozen=True, slots=True)
class Price:
    """What one request takes out of each: the shared tokens, those of free reads, and the reads on trial."""

    shared: int = 0
    free: int = 0
    trial: int = 0


SUBMIT_PRICE = Price(shared=1)


def fetch_price(pace: Pace) -> Price:
    """Of a fetch that went out after its poll, and was granted by nobody."""
    return Price(free=1) if pace.reads_free else Price(shared=1)


def read_price(pace: Pace) -> Price:
    """Of a read that goes out now."""
    return Price(trial=1) if pace.on_trial else fetch_price(pace)
