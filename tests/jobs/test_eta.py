"""What is expected of jobs: in order, never in the past, and right in the plain cases."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobs.estimates.eta import Durations, learned, middle_of, of_flying, of_waiting
from app.jobs.estimates.line import NO_LIMIT, PAUSE_SECONDS, RANKS_MAX, Line, QueueSimulation, Sent, pause_between

seconds = st.floats(min_value=0, max_value=1e6, allow_nan=False)
samples = st.lists(seconds, max_size=30)
MINUTE = learned([60.0] * 100, published_seconds=None)
assert MINUTE is not None


@settings(max_examples=60, deadline=None)
@given(samples=samples, mean=st.none() | st.floats(1e-3, 1e5), age=st.floats(-1, 2e6))
def test_in_flight_the_end_lies_ahead_and_the_later_one_is_later(
    samples: list[float], mean: float | None, age: float
) -> None:
    durations = learned(samples, published_seconds=mean)
    if durations is None:
        assert mean is None
        assert not any(samples)
        return
    expected = of_flying(durations, age_seconds=age)
    assert 0 < expected.p50 <= expected.p90 < math.inf


@settings(max_examples=40, deadline=None)
@given(samples=samples.filter(any), shares=st.lists(st.floats(0.001, 0.999), min_size=2, max_size=5), age=seconds)
def test_quantiles_ascend_and_lie_beyond_the_age(samples: list[float], shares: list[float], age: float) -> None:
    durations = learned(samples, published_seconds=None)
    assert durations is not None
    found = [durations.quantile(share, age_seconds=age) for share in sorted(shares)]
    assert found == sorted(found)
    assert found[0] >= age


def test_older_than_all_that_was_seen_the_end_recedes() -> None:
    assert MINUTE is not None
    left = [of_flying(MINUTE, age_seconds=age) for age in (1e3, 1e4, 1e5)]
    assert [round(one.p50 / 1e3, 2) for one in left[:1]] == [0.41]
    assert [one.p50 for one in left] == sorted(one.p50 for one in left)
    assert all(2 * one.p50 < one.p90 for one in left)


def test_an_age_rules_out_what_is_shorter() -> None:
    durations = learned([10.0] * 100 + [100.0] * 100, published_seconds=None)
    assert durations is not None
    assert of_flying(durations, age_seconds=0).p50 < 100
    assert of_flying(durations, age_seconds=50).p50 == pytest.approx(50, rel=0.6)


def test_a_published_mean_stands_in_and_nothing_is_nothing() -> None:
    durations = learned([], published_seconds=62.74)
    assert durations is not None
    expected = of_flying(durations, age_seconds=0)
    assert 30 < expected.p50 < 90 < expected.p90
    assert learned([], published_seconds=None) is None
    assert learned([0.0, -1.0], published_seconds=None) is None


@given(sample=st.lists(seconds, min_size=1, max_size=50))
def test_the_middle_of_a_sample(sample: list[float]) -> None:
    found = middle_of(sample)
    assert 0 < found.p50 <= found.p90
    assert found.p90 <= max(*sample, 0.001, 0.001)


def a_line(ready: int, *, in_flight: int = 0, slots: int = 10, **fields: object) -> Line:
    """A line of one model whose jobs came a second apart, up to a second ago."""
    ranks = [float(place) for place in range(ready)]
    now = float(ready)
    return Line(
        read_at=now, ready=ready, in_flight=in_flight, max_in_flight=slots, ranks=ranks[:RANKS_MAX],
        last_rank=ranks[-1] if ranks else 0.0, models=["m"] * min(ready, 256), **fields,  # type: ignore[arg-type]
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    ready=st.integers(0, 2_000),
    slots=st.integers(1, 2_000),
    taken=st.floats(0, 1),
    waited=st.floats(0, 100),
    samples=samples.filter(any),
    ages=st.lists(seconds, max_size=20),
)
def test_waits_are_sane_wherever_one_stands(
    ready: int, slots: int, taken: float, waited: float, samples: list[float], ages: list[float]
) -> None:
    durations = learned(samples, published_seconds=None)
    assert durations is not None
    sent = [Sent("m", ready - age, None) for age in ages]
    line = a_line(ready, in_flight=int(slots * taken), slots=slots, waited_seconds=waited, recent=sent)
    course = QueueSimulation(line, {"m": durations})
    for place in (0, ready // 2, ready, 3 * ready):
        waits = course.waits(place)
        assert all(0 <= wait < math.inf for wait in waits)
        ends = of_waiting(durations, waits)
        assert 0 < ends.p50 <= ends.p90


def median(waits: Sequence[float]) -> float:
    return middle_of(waits).p50


def test_a_line_moves_as_places_come_free() -> None:
    assert MINUTE is not None
    running = [Sent("m", 1000.0 - 6 * place, None) for place in range(10)]
    course = QueueSimulation(a_line(1000, in_flight=10, recent=running), {"m": MINUTE})
    waits = [median(course.waits(place)) for place in (0, 10, 100, 500, 5_000)]
    assert waits[0] == pytest.approx(6, abs=3)
    assert waits[1] == pytest.approx(66, rel=0.1)
    assert waits[2] == pytest.approx(606, rel=0.05)
    assert waits[3] == pytest.approx(3_006, rel=0.05)
    assert waits[4] == pytest.approx(30_006, rel=0.05)


def test_with_room_nobody_waits() -> None:
    assert MINUTE is not None
    assert median(QueueSimulation(a_line(3, in_flight=5), {"m": MINUTE}).waits(3)) == PAUSE_SECONDS
    assert median(QueueSimulation(a_line(0, slots=NO_LIMIT), {"m": MINUTE}).waits(0)) == PAUSE_SECONDS


def test_held_up_elsewhere_a_line_goes_on_at_its_pace() -> None:
    assert MINUTE is not None
    sent = [Sent("m", 970.0 + place, None) for place in range(30)]
    line = a_line(1000, in_flight=30, slots=1000, waited_seconds=30.0, recent=sent)
    assert line.held_up_elsewhere
    assert median(QueueSimulation(line, {"m": MINUTE}).waits(99)) == pytest.approx(100, rel=0.15)


def test_a_deadline_ends_what_has_not_been_sent() -> None:
    assert MINUTE is not None
    ends = of_waiting(MINUTE, [1_000.0] * 32, deadline_seconds=30.0)
    assert (ends.p50, ends.p90) == (30.0, 30.0)


def test_the_pause_between_is_what_was_seen() -> None:
    recent = [Sent("m", 100.0 + 2 * place, 99.7 + 2 * place) for place in range(20)]
    line = a_line(5, in_flight=10, waited_seconds=1000.0, recent=recent)
    assert pause_between(line) == pytest.approx(0.3)
    assert pause_between(a_line(5, in_flight=10)) == PAUSE_SECONDS


def test_places_are_counted_and_then_read_off() -> None:
    line = a_line(5_000)
    assert [line.ahead(rank) for rank in (-1.0, 0.0, 0.5, 998.0)] == [0, 0, 1, 998]
    assert line.ahead(2_000.0) == pytest.approx(2_000, abs=2)
    assert (line.ahead(4_999.0), line.ahead(9_999.0)) == (4_999, 5_000)
    assert a_line(0).ahead(5.0) == 0


def test_the_same_look_gives_the_same_answer() -> None:
    durations = Durations([(1.0, 0.5), (2.0, 0.5)])
    line = a_line(50, in_flight=10)
    assert QueueSimulation(line, {"m": durations}).waits(7) == QueueSimulation(line, {"m": durations}).waits(7)
