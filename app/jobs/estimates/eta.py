"""The ETA of a job: when it will have ended with probability 50 % and 90 %, as pure functions of recent observations.

**A job in flight** is assumed to be like its model's latest jobs. Each of their n times is equally likely for it. With
probability 1 / (n + 2) it is unlike all of them: this is the probability of one rank of a new job among n + 1 if all are alike
(the rule of conformal prediction). Its age excludes all shorter times. For a job older than all of them, the expected end moves
away as it ages: with probability 50 % it takes 1.4 times its age in total, with 90 % 3.2 times.

**A ready job** ends after the jobs before it have been sent and it has run. `app.jobs.estimates.line` simulates the line
REPLICATIONS times and returns as many waits. Together with the model's times these are a sample of its end. The ETA is two
quantiles of the sample.

There is no ETA for a model that has completed no job and has no published mean, and none for a paused job.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from app.jobs.estimates.schedule import FEW, believable, likely_run_seconds

HALF, NINETY = 0.5, 0.9
TABLE = 256
"""How many quantiles of a model's times are kept."""
COARSE = 16
"""How many of them are combined with each wait of a line."""
SMEAR = 0.4
"""The bandwidth as a share of what suits a density best: that makes quantiles too wide, and the rest of long runs too long."""
SPENT = 1e-9
SOONEST_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Expected:
    """Seconds from now until something will have happened, with probability 50 % and 90 %."""

    p50: float
    p90: float


class Durations:
    """How long jobs of one model are in flight: a distribution of seconds from the sending until the end is known."""

    __slots__ = ("_ends", "_sums", "coarse", "mean_seconds", "table")

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        """`points`: times with their weights, sorted; the weights sum to 1."""
        self._ends = [seconds for seconds, _ in points]
        self._sums = [0.0, *accumulate(weight for _, weight in points)]
        self.table = [self.quantile((place + 0.5) / TABLE) for place in range(TABLE)]
        """Equally likely times."""
        self.coarse = [self.quantile((place + 0.5) / COARSE) for place in range(COARSE)]
        self.mean_seconds = math.fsum(self.table) / TABLE

    def quantile(self, share: float, *, age_seconds: float = 0.0) -> float:
        """Return the seconds in flight within which a job ends with probability `share`, if it has not ended at this age."""
        ended = self._sums[bisect_right(self._ends, age_seconds)]
        left = self._sums[-1] - ended
        if left <= SPENT:
            return age_seconds / math.sqrt(1 - share)
        place = bisect_left(self._sums, ended + share * left) - 1
        return max(self._ends[min(max(place, 0), len(self._ends) - 1)], age_seconds)


def learned(samples: Sequence[float], *, published_seconds: float | None) -> Durations | None:
    """Return the distribution by a model's latest times (seconds, newest first) and published mean. None if it has neither."""
    believed = believable(samples)
    if not believed and published_seconds is None:
        return None
    smear = SMEAR if len(believed) >= FEW else 1.0
    return Durations(likely_run_seconds(believed, published_seconds, prior_weight_min=0.0, smear=smear))


def of_flying(durations: Durations, *, age_seconds: float) -> Expected:
    """Return when a job in flight will have ended. `age_seconds`: the time since it was sent."""
    age_seconds = max(age_seconds, 0.0)
    p50 = durations.quantile(HALF, age_seconds=age_seconds) - age_seconds
    p90 = durations.quantile(NINETY, age_seconds=age_seconds) - age_seconds
    return Expected(max(p50, SOONEST_SECONDS), max(p90, SOONEST_SECONDS))


def of_waiting(durations: Durations, waits: Sequence[float], *, deadline_seconds: float = math.inf) -> Expected:
    """Return when a job will have ended that is sent after one of these equally likely waits. It ends after `deadline_seconds`
    if it is not sent by then."""
    ends: list[float] = []
    for wait in waits:
        if wait > deadline_seconds:
            ends.extend([max(deadline_seconds, 0.0)] * COARSE)
        else:
            ends.extend(wait + seconds for seconds in durations.coarse)
    return middle_of(ends)


def middle_of(sample: Sequence[float]) -> Expected:
    """Return the median and the ninetieth percentile of equally likely values."""
    ordered = sorted(sample)
    return Expected(max(_at(ordered, HALF), SOONEST_SECONDS), max(_at(ordered, NINETY), SOONEST_SECONDS))


def _at(ordered: Sequence[float], share: float) -> float:
    place = share * len(ordered) - 0.5
    low = min(max(math.floor(place), 0), len(ordered) - 1)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * min(max(place - low, 0.0), 1.0)
