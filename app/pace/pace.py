"""The pace: how many requests may be sent to the upstream now, as pure functions.

A token bucket keeps the requests that count towards the upstream's limit at an even rate. A count of the last minute
holds back requests that the limit would refuse. Reads that do not count have their own bucket. Claims and the tests
in virtual time use the same functions. Instants are seconds since 1970, rates are per second, limits per minute.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from app.pace.decide import RISE_TO, WINDOW_SECONDS, RateEstimate

BURST_SECONDS = 0.25
BURST_MIN = 1.5
"""The most tokens that a bucket gathers: those of BURST_SECONDS, and at least BURST_MIN."""
TRICKLE_RATE = 1.0
"""Reads a second while the breaker is open."""
LOOK_SECONDS_MIN = 0.02
"""The least time between two looks for tokens. One look takes all that arrived in between."""
LOOK_SECONDS_MAX = 1.0
"""The most time between two looks, because the rate estimate may have changed."""
ROOM_SECONDS = 0.25
"""The least time until the next look if the last minute is full."""
BROKEN_SECONDS = 1.0
"""The same for submits while the breaker is open."""
NEARLY = 1e-6
"""A token that lacks no more than this is whole: the rest is a rounding error."""


class Bucket(NamedTuple):
    """The tokens at `refilled_at`: for requests that count, and for reads while they do not count. Below zero: a debt."""

    tokens: float = 0.0
    read_tokens: float = 0.0
    refilled_at: float = 0.0


class Lately(NamedTuple):
    """What the last minute holds: submits and reads granted and not refused. `all_kinds`: all that was granted in it
    and the second before."""

    submits: int = 0
    reads: int = 0
    all_kinds: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How many requests may be sent now.

    shared, shared_rate: tokens for requests that count towards the limit, and how many arrive in a second.
    free, free_rate: the same for reads that do not count.
    room: what the last minute may still hold. room_of_all: the same by the configured ceiling; infinite: no limit.
    resume_seconds: how long no request that counts may be sent. reads_free: reads do not count. limited: a limit is known.
    trial_reads: reads that may be sent in the pause, to find out whether they count. broken: the breaker is open.
    """

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
        """Whether a read is sent now despite the pause."""
        return not self.reads_free and self.resume_seconds > 0

    @property
    def reads_to_count(self) -> int:
        """The most due reads that must be counted before submits are granted. If both count, reads go first."""
        return 0 if self.reads_free or not self.limited else math.ceil(max(self.shared, 0.0))


def pace_of(
    budget: RateEstimate, bucket: Bucket, *, now: float, lately: Lately, ceiling_per_minute: float | None
) -> Pace:
    """Return the pace at `now`."""
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


def _room(budget: RateEstimate, lately: Lately) -> float:
    """How many more requests the last minute may hold by the estimated limit."""
    if budget.limit is None:
        return math.inf
    counting = lately.submits if budget.reads_free else lately.submits + lately.reads
    return max(budget.limit * RISE_TO, budget.rate * WINDOW_SECONDS, 1.0) - counting


def submits_granted(pace: Pace, *, asked: int, reads_due: int) -> int:
    """How many of the `asked` submits may be sent now. Only the pace decides."""
    if pace.broken or pace.resume_seconds > 0:
        return 0
    return _whole(min(pace.shared - reads_due + NEARLY, pace.room, asked))


def reads_granted(pace: Pace, *, asked: int) -> int:
    """How many of the `asked` reads may be sent now."""
    if pace.reads_free:
        return _whole(min(pace.free + NEARLY, pace.room_of_all, asked))
    if pace.on_trial:
        return 0 if pace.broken else min(pace.trial_reads, asked)
    return _whole(min(pace.shared + NEARLY, pace.room, asked))


def _whole(number: float) -> int:
    return max(0, math.floor(number))


def next_submit_seconds(pace: Pace, *, granted: int, reads_due: int) -> float:
    """The seconds until the next look for a submit's token, after `granted` were granted."""
    resume = max(pace.resume_seconds, BROKEN_SECONDS if pace.broken else 0.0)
    return _next_look(1 + reads_due + granted - pace.shared, pace.shared_rate, pace.room - granted, resume)


def next_read_seconds(pace: Pace, *, granted: int) -> float:
    """The seconds until the next look for a read's token, after `granted` were granted."""
    if pace.reads_free:
        return _next_look(1 + granted - pace.free, pace.free_rate, pace.room_of_all - granted, 0.0)
    return _next_look(1 + granted - pace.shared, pace.shared_rate, pace.room - granted, pace.resume_seconds)


def _next_look(missing: float, rate: float, room: float, resume: float) -> float:
    full = ROOM_SECONDS if room < 1 else 0.0
    return min(LOOK_SECONDS_MAX, max(LOOK_SECONDS_MIN, resume, missing / rate, full))


@dataclass(frozen=True, slots=True)
class Price:
    """What one request takes: shared tokens, tokens of free reads, and reads on trial."""

    shared: int = 0
    free: int = 0
    trial: int = 0


SUBMIT_PRICE = Price(shared=1)


def fetch_price(pace: Pace) -> Price:
    """The price of a fetch that was sent after its poll without being granted."""
    return Price(free=1) if pace.reads_free else Price(shared=1)


def read_price(pace: Pace) -> Price:
    """The price of a read that is sent now."""
    return Price(trial=1) if pace.on_trial else fetch_price(pace)
