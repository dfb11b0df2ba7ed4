"""When to poll a running job: as rarely as its model's known run times allow.

One poll is worth POLL_WORTH_SECONDS of delay. The next poll is due when the expected delay since the last one, at which the job
still ran, has grown to that value. For an equal mean delay this needs about half the polls of a fixed interval of two seconds.
Measured against the true optimum it is within 10 % once thirty run times are known.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

POLL_WORTH_SECONDS = 0.2
LIMITED_POLL_WORTH_SECONDS = 1.0
"""The same while polls use up the upstream's rate limit and jobs wait for it."""
GAP_SECONDS_MIN = 0.25
GAP_SECONDS_MAX = 15.0
SAMPLES_MAX = 200
PRIOR_WEIGHT_MIN = 0.05
"""The lowest probability that the next run is unlike all known ones."""
BANDWIDTH_MIN = 0.02
UNSEEN_SPREAD = 0.3
"""The lowest sigma of log run times while there are fewer than FEW samples."""
FEW = 5
UNKNOWN_SECONDS = (0.5, 600.0)
"""Nearly every model of the upstream's public list is in this range. It is assumed for a model without data."""
RUN_SECONDS = (0.001, 86_400.0)
"""Run times outside this range are clamped to it."""
AGE_SECONDS_MAX = 7_200.0
OFFSETS_MAX = 2_000
"""The longest schedule. By then the upstream has deleted the job."""
PRIOR_STEPS = 64
KERNEL = (-1.59, -0.97, -0.59, -0.28, 0.0, 0.28, 0.59, 0.97, 1.59)
"""Nine points of equal weight that represent a normal distribution: the means of its ninths."""


def gap_max(age_seconds: float) -> float:
    """Return the longest gap between polls at an age without data."""
    return min(GAP_SECONDS_MAX, max(2.0, age_seconds / 4))


@dataclass(frozen=True, slots=True)
class Schedule:
    """Ages of a job, in seconds since its acceptance, at which it is polled. After the last one, polls are `gap_max` apart."""

    offsets: tuple[float, ...]

    def next_gap(self, age_seconds: float) -> float:
        """Return the seconds from now until the next poll of a job of this age."""
        place = bisect_right(self.offsets, age_seconds + GAP_SECONDS_MIN / 2)
        if place < len(self.offsets):
            return max(GAP_SECONDS_MIN, self.offsets[place] - age_seconds)
        return gap_max(age_seconds)

    def gap_before(self, age_seconds: float) -> float:
        """Return the seconds between the poll at this age and the one before it, if both were on schedule."""
        place = bisect_right(self.offsets, age_seconds + GAP_SECONDS_MIN / 2)
        if place == 0:
            return age_seconds
        if place == len(self.offsets):
            return gap_max(age_seconds)
        return self.offsets[place - 1] - (self.offsets[place - 2] if place > 1 else 0.0)


def schedule(
    samples: Sequence[float], *, published_seconds: float | None, worth_seconds: float = POLL_WORTH_SECONDS
) -> Schedule:
    """Return the schedule of a model, from its latest run times (seconds, newest first) and its published mean, if any.

    worth_seconds: the delay that one poll is worth."""
    believed = believable(samples)
    points = likely_run_seconds(believed, published_seconds, prior_weight_min=PRIOR_WEIGHT_MIN)
    offsets: list[float] = []
    age, beyond = 0.0, 1.0  # beyond: how much of the weight lies after `age`
    place = 0
    while place < len(points) and age < AGE_SECONDS_MAX and len(offsets) < OFFSETS_MAX:
        latest = age + (GAP_SECONDS_MAX if len(samples) >= FEW else gap_max(age))
        age, place, beyond = _next_poll(
            points, age=age, place=place, price=worth_seconds * beyond, beyond=beyond, latest=latest
        )
        offsets.append(age)
    return Schedule(tuple(offsets))


def believable(samples: Sequence[float]) -> list[float]:
    """Return the positive samples among the newest SAMPLES_MAX, clamped to RUN_SECONDS."""
    return [_clamped(sample) for sample in samples[:SAMPLES_MAX] if sample > 0]


def _clamped(seconds: float) -> float:
    return min(max(seconds, RUN_SECONDS[0]), RUN_SECONDS[1])


def likely_run_seconds(
    samples: Sequence[float], published_seconds: float | None, *, prior_weight_min: float, smear: float = 1.0
) -> list[tuple[float, float]]:
    """Return points that represent the next run time, each with its weight; sorted, weights sum to 1.

    `samples`: from `believable`. `prior_weight_min`: the lowest total weight of times unlike the samples. `smear`: the
    bandwidth as a share of the one that suits their density best.
    """
    low, high = UNKNOWN_SECONDS
    published_seconds = None if published_seconds is None else _clamped(published_seconds)
    logs = [math.log(sample) for sample in samples]
    if logs:
        middle = math.exp(sorted(logs)[len(logs) // 2])
        low, high = middle / 8, middle * 8
    elif published_seconds is not None:
        logs = [math.log(published_seconds)]
        low, high = published_seconds / 32, published_seconds * 8
    prior = max(prior_weight_min, 1 / (len(samples) + 2)) if logs else 1.0
    step = math.log(high / low) / PRIOR_STEPS
    points = [(low * math.exp(step * (place + 0.5)), prior / PRIOR_STEPS) for place in range(PRIOR_STEPS)]
    if logs:
        mean = sum(logs) / len(logs)
        spread = math.sqrt(sum((log - mean) ** 2 for log in logs) / len(logs))
        if len(logs) < FEW:
            spread = max(spread, UNSEEN_SPREAD)
        bandwidth = max(BANDWIDTH_MIN, smear * 1.06 * spread * len(logs) ** -0.2)
        weight = (1 - prior) / (len(logs) * len(KERNEL))
        points += [(math.exp(log + bandwidth * z), weight) for log in logs for z in KERNEL]
    return sorted(points)


def _next_poll(
    points: list[tuple[float, float]], *, age: float, place: int, price: float, beyond: float, latest: float
) -> tuple[float, int, float]:
    """The age of the poll after the one at `age`, the place of the first point after it, and the weight left there."""
    ended = delay = 0.0  # the weight that has ended since `age`, and its total delay, both up to `at`
    at = age
    while place < len(points):
        end, weight = points[place]
        if delay + ended * (end - at) >= price or end >= latest:
            break
        delay += ended * (end - at)
        at, ended = end, ended + weight
        place += 1
    due = at + (price - delay) / ended if ended > 0 else latest
    due = max(age + GAP_SECONDS_MIN, min(due, latest))
    while place < len(points) and points[place][0] <= due:
        ended += points[place][1]
        place += 1
    return due, place, max(beyond - ended, 1e-9)
