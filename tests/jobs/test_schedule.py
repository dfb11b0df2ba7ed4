"""The poll schedule: bounded gaps for any history, and fewer polls than a fixed beat at the same delay."""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobs.estimates.schedule import (
    GAP_SECONDS_MAX,
    GAP_SECONDS_MIN,
    LIMITED_POLL_WORTH_SECONDS,
    OFFSETS_MAX,
    SAMPLES_MAX,
    Schedule,
    gap_max,
    schedule,
)

seconds = st.floats(min_value=0, max_value=1e6, allow_nan=False)
histories = st.lists(seconds, max_size=40)
published = st.none() | st.floats(min_value=1e-3, max_value=1e5)


@settings(max_examples=60, deadline=None)
@given(samples=histories, mean=published)
def test_offsets_ascend_with_bounded_gaps(samples: list[float], mean: float | None) -> None:
    offsets = (0.0, *schedule(samples, published_seconds=mean).offsets)
    gaps = [later - earlier for earlier, later in pairwise(offsets)]
    assert all(gap >= GAP_SECONDS_MIN * 0.999 for gap in gaps)
    assert all(gap <= max(GAP_SECONDS_MAX, 2.0) * 1.001 for gap in gaps)
    assert all(math.isfinite(offset) for offset in offsets)


@settings(max_examples=60, deadline=None)
@given(samples=histories, mean=published, age=st.floats(0, 2e6))
def test_the_next_gap_is_always_sane(samples: list[float], mean: float | None, age: float) -> None:
    planned = schedule(samples, published_seconds=mean)
    gap = planned.next_gap(age)
    assert GAP_SECONDS_MIN <= gap <= GAP_SECONDS_MAX + GAP_SECONDS_MIN
    assert 0 <= planned.gap_before(age) <= max(GAP_SECONDS_MAX, 2.0) * 1.001 + GAP_SECONDS_MIN


@pytest.mark.parametrize("samples", [[0.0] * 10, [1e-12], [1e6] * 300, [5.0] * SAMPLES_MAX, [0.01, 1e6], [-1.0]])
def test_odd_histories(samples: list[float]) -> None:
    planned = schedule(samples, published_seconds=None)
    assert len(planned.offsets) <= OFFSETS_MAX
    assert planned.next_gap(0) > 0


def test_beyond_the_schedule_the_gap_grows_with_age_up_to_its_bound() -> None:
    gaps = [Schedule(()).next_gap(age) for age in (0, 4, 20, 40, 1000)]
    assert gaps == sorted(gaps)
    assert gaps == [gap_max(age) for age in (0, 4, 20, 40, 1000)]
    assert gaps[-1] == GAP_SECONDS_MAX


def walked(next_gap: Callable[[float], float], run: float) -> tuple[int, float]:
    """How often a job of this run time is asked about, and how late its end is seen."""
    age, polls = 0.0, 0
    while age < run:
        age += next_gap(age)
        polls += 1
    return polls, age - run


def costs(next_gap: Callable[[float], float], runs: list[float]) -> tuple[float, float]:
    """Mean polls and mean delay."""
    walks = [walked(next_gap, run) for run in runs]
    return sum(polls for polls, _ in walks) / len(walks), sum(delay for _, delay in walks) / len(walks)


@pytest.mark.parametrize("mean", [3.0, 10.0, 62.74])
def test_where_polls_are_dear_more_jobs_fit_into_a_limit(mean: float) -> None:
    chance = random.Random(1)
    runs = [mean * math.exp(chance.gauss(0, 0.3) - 0.045) for _ in range(SAMPLES_MAX)]
    polls, delay = costs(schedule(runs, published_seconds=None).next_gap, runs)
    dear = schedule(runs, published_seconds=None, worth_seconds=LIMITED_POLL_WORTH_SECONDS)
    fewer, later = costs(dear.next_gap, runs)
    assert (polls + 2) / (fewer + 2) > 1.25, "requests of a job, its submit and its fetch among them"
    assert delay < later < 3 * delay


@pytest.mark.parametrize(("mean", "sigma"), [(13.0, 0.3), (62.74, 0.3), (62.74, 0.15), (189.0, 0.5), (300.0, 0.3)])
def test_fewer_polls_than_a_fixed_beat_of_the_same_delay(mean: float, sigma: float) -> None:
    chance = random.Random(11)
    draw = lambda: mean * math.exp(chance.gauss(0, sigma) - sigma**2 / 2)  # noqa: E731
    learned = schedule([draw() for _ in range(60)], published_seconds=mean)
    runs = [draw() for _ in range(500)]
    polls, delay = costs(learned.next_gap, runs)
    fixed_polls, fixed_delay = costs(lambda _: 2 * delay, runs)
    assert fixed_delay == pytest.approx(delay, rel=0.15)
    assert polls < 0.9 * fixed_polls
    two_seconds, its_delay = costs(lambda _: 2.0, runs)
    assert polls < two_seconds or delay < its_delay
