"""When a job will have ended, with probability 50 % and with 90 %: pure functions of what was seen lately.

**A job in flight** is one more of its model's latest jobs. Each of n of those is as likely as the next one's time, and
that it is quite unlike them all has probability 1 / (n + 2): it is what a new one's rank among n + 1 would be if all
were alike (which is the rule of conformal prediction). Its age rules out all that were shorter. A job older than all of
them gets an end that recedes as it ages: with probability 50 % it takes 1.4 times its age in all, with 90 % 3.2 times.

**A job in line** ends when those before it have been sent and it has run. `app.jobs.estimates.line` plays the line through
REPLICATIONS times and gives as many waits; with the model's times they are a sample of its end, and the quantiles of
that are the answer.

Nothing is known of a model that has completed no job and whose mean is not published; and of what is paused.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from app.jobs.estimates.schedule import FEW, believable, likely_run_seconds

HALF, NINETY = 0.5, 0.9
TABLE = 256
"""Quantiles of a model's times that are kept at hand."""
COARSE = 16
"""So many of them stand for all where they meet each of a line's waits."""
SMEAR = 0.4
"""What makes a density smooth makes its quantiles too wide, and the rest of what has run for long too long."""
SPENT = 1e-9
SOONEST_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Expected:
    """Seconds from now by which something will have happened with probability 50 % and 90 %."""

    p50: float
    p90: float


class Durations:
    """How long jobs of one model are in flight, from being sent until their end is known, in seconds."""

    __slots__ = ("_ends", "_sums", "coarse", "mean_seconds", "table")

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        """`points`: times with their weights, sorted; the weights sum to 1."""
        self._ends = [seconds for seconds, _ in points]
        self._sums = [0.0, *accumulate(weight for _, weight in points)]
        self.table = [self.quantile((place + 0.5) / TABLE) for place in range(TABLE)]
        """Times that are equally likely."""
        self.coarse = [self.quantile((place + 0.5) / COARSE) for place in range(COARSE)]
        self.mean_seconds = math.fsum(self.table) / TABLE

    def quantile(self, share: float, *, age_seconds: float = 0.0) -> float:
        """Seconds in flight within which a job has ended with this probability, given that at this age it has not."""
        ended = self._sums[bisect_right(self._ends, age_seconds)]
        left = self._sums[-1] - ended
        if left <= SPENT:
            return age_seconds / math.sqrt(1 - share)
        place = bisect_left(self._sums, ended + share * left) - 1
        return max(self._ends[min(max(place, 0), len(self._ends) - 1)], age_seconds)


def learned(samples: Sequence[float], *, published_seconds: float | None) -> Durations | None:
    """What a model's latest times (seconds, newest first) and its published mean tell; None where there is neither."""
    believed = believable(samples)
    if not believed and published_seconds is None:
        return None
    smear = SMEAR if len(believed) >= FEW else 1.0
    return Durations(likely_run_seconds(believed, published_seconds, prior_weight_min=0.0, smear=smear))


def of_flying(durations: Durations, *, age_seconds: float) -> Expected:
    """When a job will have ended that was sent so long ago."""
    age_seconds = max(age_seconds, 0.0)
    p50 = durations.quantile(HALF, age_seconds=age_seconds) - age_seconds
    p90 = durations.quantile(NINETY, age_seconds=age_seconds) - age_seconds
    return Expected(max(p50, SOONEST_SECONDS), max(p90, SOONEST_SECONDS))


def of_waiting(durations: Durations, waits: Sequence[float], *, deadline_seconds: float = math.inf) -> Expected:
    """When a job will have ended that is sent after one of these waits, which are equally likely; one that is not sent
    within `deadline_seconds` ends then."""
    ends: list[float] = []
    for wait in waits:
        if wait > deadline_seconds:
            ends.extend([max(deadline_seconds, 0.0)] * COARSE)
        else:
            ends.extend(wait + seconds for seconds in durations.coarse)
    return middle_of(ends)


def middle_of(sample: Sequence[float]) -> Expected:
    """The median and the ninetieth percentile of what is equally likely."""
    ordered = sorted(sample)
    return Expected(max(_at(ordered, HALF), SOONEST_SECONDS), max(_at(ordered, NINETY), SOONEST_SECONDS))


def _at(ordered: Sequence[float], share: float) -> float:
    place = share * len(ordered) - 0.5
    low = min(max(math.floor(place), 0), len(ordered) - 1)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * min(max(place - low, 0.0), 1.0)
