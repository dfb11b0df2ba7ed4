"""The pure choices: the schedule, who is left alone, what fits into a body."""

import random
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from app.webhooks.decide import (
    BODY_BYTES_MAX,
    STEPS,
    WELL,
    Health,
    after_failure,
    event_body,
    gives_up,
    next_delay,
    parse_retry_after,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def failed(*hours: float, duration_seconds: float = 0.1) -> Health:
    """The health after failures so many hours after the start."""
    health = WELL
    for at in hours:
        health = after_failure(health, at=START + at * HOUR, duration_seconds=duration_seconds)
    return health


def test_the_schedule_is_ten_attempts_within_a_fifth_of_what_is_promised() -> None:
    chance = random.Random(20261122)
    promised = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
    assert promised == STEPS
    for step, seconds in enumerate(promised, start=1):
        delays = [next_delay(step, chance=chance.random()) for _ in range(2000)]
        assert min(delays, default=0) >= 0.8 * seconds
        assert max(delays, default=0) <= 1.2 * seconds
        assert max(delays, default=0) - min(delays, default=0) > 0.35 * seconds
    assert next_delay(len(promised) + 1, chance=0.5) is None


@pytest.mark.parametrize(
    ("asked", "delay"), [(None, 5.0), (1.0, 5.0), (8.0, 8.0), (10.0, 10.0), (11.0, 10.0), (1e9, 10.0)]
)
def test_retry_after_lengthens_a_step_to_at_most_twice(asked: float | None, delay: float) -> None:
    assert next_delay(1, chance=0.5, retry_after=asked) == delay


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Sun, 01 Mar 2026 00:01:00 GMT", 60.0),
        ("Sun, 01 Mar 2020 00:01:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 50, None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, now=START) == seconds


def test_five_days_of_nothing_but_failures_are_enough() -> None:
    health = failed(*range(120))
    assert not gives_up(health, at=START + 119 * HOUR)
    assert gives_up(after_failure(health, at=START + 120 * HOUR, duration_seconds=0.1), at=START + 120 * HOUR)


def test_the_schedule_of_one_event_starts_the_clock_but_does_not_end_it() -> None:
    hours = [0.0]
    for step in STEPS:
        hours.append(hours[-1] + step / 3600)
    health = failed(*hours)
    assert health.failing_since == START
    assert not gives_up(health, at=START + hours[-1] * HOUR)


@pytest.mark.parametrize("gap_hours", [25, 50, 100, 200])
def test_a_failure_now_and_then_is_never_enough(gap_hours: int) -> None:
    health = failed(*(number * gap_hours for number in range(100)))
    assert health.failing_since is None
    assert not gives_up(health, at=START + 100 * gap_hours * HOUR)


def test_bursts_that_end_within_hours_are_never_enough() -> None:
    health = failed(*(day * 48 + minute / 60 for day in range(60) for minute in range(60)))
    assert health.failing_since is None


def test_the_breaker_opens_for_slow_failures_alone() -> None:
    assert failed(*[0.0] * 50, duration_seconds=0.5).open_until is None
    slow = failed(*[0.0] * 10, duration_seconds=15.0)
    assert slow.open_until == START + timedelta(seconds=30)
    assert failed(*[0.0] * 12, duration_seconds=15.0).open_until == START + timedelta(seconds=120)
    assert failed(*[0.0] * 99, duration_seconds=15.0).open_until == START + timedelta(seconds=300)
    assert after_failure(slow, at=START, duration_seconds=0.1).open_until is None


def test_a_body_is_the_first_version_that_fits() -> None:
    body = event_body(
        type_="job.completed", at=START, sequence=3, data=[b'"' + b"x" * BODY_BYTES_MAX + b'"', b'{"id":1}']
    )
    assert orjson.loads(body) == {
        "type": "job.completed",
        "timestamp": "2026-03-01T00:00:00.000Z",
        "data": {"id": 1},
        "sequence": 3,
    }
    with pytest.raises(ValueError, match="small enough"):
        event_body(type_="job.completed", at=START, sequence=3, data=[b"x" * BODY_BYTES_MAX])
