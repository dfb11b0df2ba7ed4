"""What proves that an attempt did not arrive, and what does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.resolution.absence import Quiet, Read, Sent, clock_offset, settle_time

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)
SETTLE = 60.0


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def proven(*, since: float | None = 0.0, missing: tuple[float, ...] = (), **changes: Any) -> bool:
    """Of an attempt sent at T0, with a request of ours each second around it."""
    ours = [Sent(at(second), second not in missing) for second in range(-100, 101)]
    read = Read(**{"began_at": at(100), "reached": at(-700), "ours": ours, **changes})
    return read.proves_absent(Quiet(T0, None if since is None else at(since), "m"), settle_seconds=SETTLE)


def test_it_takes_everything_together() -> None:
    assert proven()


@pytest.mark.parametrize(
    "changes",
    [
        {"since": None},
        {"since": 41.0},
        {"missing": (-60,)},
        {"missing": (60,)},
        {"began_at": at(59)},
        {"reached": at(-599)},
        {"ours": [Sent(at(second), True) for second in range(-100, 19)]},
        {"ours": []},
        {"unplaced": [("m", T0)]},
        {"unplaced": [(None, T0)]},
        {"unplaced": [("m", None)]},
    ],
)
def test_nothing_less_proves_it(changes: dict[str, Any]) -> None:
    assert not proven(**changes)


@pytest.mark.parametrize(
    "changes", [{"missing": (-61, 61)}, {"unplaced": [("n", T0)]}, {"unplaced": [("m", at(-241))]}]
)
def test_what_is_far_from_it_says_nothing(changes: dict[str, Any]) -> None:
    assert proven(**changes)


def test_the_settle_time_learns_from_lateness() -> None:
    assert settle_time(600, longest_lateness_seconds=100) == 600
    assert settle_time(60, longest_lateness_seconds=100) == 200


def test_the_clocks_are_compared_by_our_own_requests() -> None:
    pairs = [(at(number), at(number + 600)) for number in range(9)]
    assert clock_offset([*pairs, (at(1), at(1))]) == timedelta(seconds=600)
    assert clock_offset(pairs[:4]) == timedelta(), "too few"
