"""Who may have how many bytes parsed: exact sums, told with the time to wait, each caller for itself."""

import pytest

from app.web import parse_budget
from app.web.parse_budget import BURST_BYTES, SMALL_BYTES, Allowance, ParseBudgetExceeded, ParseBudgets, parse_cost

MB = 1024 * 1024


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(parse_budget, "monotonic", made)
    return made


def test_a_burst_and_then_the_rate(clock: Clock) -> None:
    budgets, allowance = ParseBudgets(), Allowance("a", 600)
    for _ in range(BURST_BYTES // (8 * MB)):
        budgets.charge(allowance, 8 * MB)
    with pytest.raises(ParseBudgetExceeded) as refused:
        budgets.charge(allowance, 8 * MB)
    assert refused.value.retry_after_seconds == 3
    assert (refused.value.status, refused.value.code) == (429, "parse_budget")
    budgets.charge(Allowance("b", 600), 8 * MB)
    assert budgets.used(Allowance("b", 600)) == 8 * MB
    clock.now += refused.value.retry_after_seconds
    budgets.charge(allowance, 8 * MB)


def test_six_hundred_submits_a_minute_of_100_kb_are_never_refused(clock: Clock) -> None:
    budgets, allowance = ParseBudgets(), Allowance("a", 600)
    for _ in range(3_000):
        budgets.charge(allowance, 100_000)
        clock.now += 0.1
    assert budgets.used(allowance) == 0


def test_small_bodies_are_free(clock: Clock) -> None:
    budgets, allowance = ParseBudgets(), Allowance("a", 600)
    for _ in range(BURST_BYTES // SMALL_BYTES + 10_000):
        budgets.charge(allowance, SMALL_BYTES)
    assert budgets.used(allowance) == 0


def test_a_wider_rate_has_a_wider_budget() -> None:
    assert Allowance("a", 60_000).bytes_a_second == 100 * Allowance("a", 600).bytes_a_second
    assert Allowance("a", 1).bytes_a_second == Allowance("a", 600).bytes_a_second


def test_a_body_costs_what_it_takes_to_read_it() -> None:
    assert parse_cost(b"x" * 100_000) == 100_000
    assert parse_cost(b"1," * 10_000) == (2 + 31) * 10_000
    assert parse_cost(b'{"a":1},' * 10_000) == (8 + 250 + 130 + 31) * 10_000
    assert parse_cost(rb"\u00e9" * 10_000) == (6 + 16) * 10_000
    assert parse_cost(b"[]" * 10_000) == (2 + 100) * 10_000
    assert parse_cost(b"{}," * 100) == 300, "a small one is free"
    assert parse_cost(b"{}," * 100_000) == 300_000, "it is refused unread"
