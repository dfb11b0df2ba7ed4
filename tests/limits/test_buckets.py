"""The arithmetic of rate limits: what any stretch of time may let through, and when to come again."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.limits.buckets import TOKEN, Level, Standing, drained, fits, poured, room_of
from app.limits.rate_headers import RateLimited, rate_headers
from app.tenants.decide import LIMITS, Rate

RATES = st.builds(Rate, st.integers(*LIMITS["rate_per_minute"]), st.integers(*LIMITS["burst"]))
SMALL = st.builds(Rate, st.integers(1, 6_000), st.integers(1, 50))
GAPS = st.one_of(st.integers(0, 3_000_000), st.just(0), st.integers(0, 10**12))
MINUTE = 60_000_000


class Meter:
    """One bucket over time, as a process without Redis keeps it."""

    def __init__(self, rate: Rate, shares: int = 1) -> None:
        self.rate, self.shares = rate, shares
        self.level = Level(0, 0)

    def standing(self, now: int) -> Standing:
        room = room_of(self.rate, shares=self.shares)
        used = drained(self.level, self.rate, now, room=room)
        return Standing("tenant", self.rate, used, room, self.shares * TOKEN)

    def take(self, now: int, count: int) -> bool:
        standing = self.standing(now)
        if not fits(standing, count):
            return False
        self.level = Level(poured(standing, count), now)
        return True


@given(rate=SMALL, asks=st.lists(st.tuples(GAPS, st.integers(1, 60)), max_size=60))
def test_no_stretch_of_time_lets_more_through_than_a_burst_and_its_rate(
    rate: Rate, asks: list[tuple[int, int]]
) -> None:
    meter, now, admitted = Meter(rate), 0, []
    for gap, count in asks:
        now += gap
        if meter.take(now, count):
            admitted.append((now, count))
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            total = sum(count for _, count in admitted[first : last + 1])
            elapsed = admitted[last][0] - admitted[first][0]
            assert total * MINUTE <= rate.burst * MINUTE + rate.per_minute * elapsed


@given(rate=SMALL, shares=st.integers(1, 8), asks=st.lists(st.tuples(GAPS, st.integers(0, 7)), max_size=80))
def test_shares_together_let_no_more_through_than_one_would(
    rate: Rate, shares: int, asks: list[tuple[int, int]]
) -> None:
    """Where a burst has less than one submit for each, each may take one."""
    meters, now, admitted = [Meter(rate, shares) for _ in range(shares)], 0, 0
    for gap, which in asks:
        now += gap
        admitted += meters[which % shares].take(now, 1)
    assert admitted * MINUTE <= max(rate.burst, shares) * MINUTE + rate.per_minute * now


@given(rate=RATES, used=st.integers(0, 2 * 10**7), part=st.integers(0, TOKEN - 1), count=st.integers(1, 1_000))
def test_who_comes_again_when_told_is_taken_and_not_a_moment_before(
    rate: Rate, used: int, part: int, count: int
) -> None:
    meter = Meter(rate)
    meter.level = Level(used * TOKEN + part, 0)
    wait = meter.standing(0).micros_until(count)
    if count > rate.burst:
        assert not fits(meter.standing(wait), count)
        assert meter.standing(wait).used == 0
        return
    assert fits(meter.standing(wait), count)
    assert wait == 0 or not fits(meter.standing(wait - 1), count)


@given(rate=RATES, used=st.integers(0, 2 * 10**7), count=st.integers(1, 100))
def test_what_is_given_back_can_be_taken_again(rate: Rate, used: int, count: int) -> None:
    meter = Meter(rate)
    meter.level = Level(used * TOKEN, 0)
    before = meter.standing(0)
    if meter.take(0, count):
        assert meter.take(0, -count)
        assert meter.standing(0) == before
    assert meter.take(0, -(3 * 10**7))
    assert meter.standing(0).used == 0


@given(rate=RATES, used=st.integers(0, 10**15), back=st.integers(1, 10**15))
def test_a_clock_that_is_set_back_gives_nothing(rate: Rate, used: int, back: int) -> None:
    assert drained(Level(used, 10**15), rate, 10**15 - back, room=10**15) == used


@given(rate=RATES, narrower=RATES)
def test_a_narrower_limit_is_full_at_most(rate: Rate, narrower: Rate) -> None:
    """Else whoever had made use of a wide limit would wait for what the narrow one takes for all of that."""
    meter = Meter(rate)
    assert meter.take(0, rate.burst)
    meter.rate = narrower
    assert meter.standing(0).micros_until(1) <= -(-TOKEN // narrower.per_minute)


@given(rate=RATES, used=st.integers(0, 10**7))
def test_headers_say_what_is_left_and_when_there_is_more(rate: Rate, used: int) -> None:
    standing = Standing("tenant", rate, used * TOKEN, room_of(rate))
    headers = rate_headers([standing, replace(standing, policy="key")])
    left, seconds = max(0, rate.burst - used), standing.reset_seconds
    item = f";r={left};t={seconds}"
    assert headers["RateLimit"] == f'"tenant"{item}, "key"{item}'
    assert headers["RateLimit-Policy"] == f'"tenant";q={rate.per_minute};w=60, "key";q={rate.per_minute};w=60'
    later = Level(drained(Level(standing.used, 0), rate, seconds * 1_000_000, room=standing.used), 0)
    assert later.used == 0 or replace(standing, used=later.used).remaining > left


def test_a_refusal_names_the_limit_that_lasts_longest() -> None:
    tenant = Standing("tenant", Rate(600, 10), 10 * TOKEN, 10 * TOKEN)
    key = Standing("key", Rate(6, 5), 5 * TOKEN, 5 * TOKEN)
    free = replace(key, used=0)
    both, one = RateLimited([tenant, key], 1), RateLimited([tenant, free], 1)
    assert both.retry_after_seconds == 10
    assert both.extra == {
        "limit": "rate_per_minute",
        "of": "key",
        "rate_per_minute": 6,
        "burst": 5,
        "violated-policies": ["tenant", "key"],
    }
    assert (one.retry_after_seconds, one.extra["violated-policies"]) == (1, ["tenant"])
    assert "this tenant may make 600 submits a minute, 10 at once; try again in 1 s" in one.message


def test_more_than_a_burst_at_once_is_never_taken() -> None:
    rate = Rate(600, 10)
    refusal = RateLimited([Standing("tenant", rate, 0, room_of(rate))], 11)
    assert refusal.retry_after_seconds == 1
    assert refusal.headers["RateLimit"] == '"tenant";r=10;t=0'
