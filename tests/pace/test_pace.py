"""How many requests may go out now, without a database."""

import math
import random

import pytest

from app.pace.decide import FREE_NATS, RISE_TO, RateEstimate
from app.pace.pace import (
    BURST_MIN,
    BURST_SECONDS,
    LOOK_SECONDS_MAX,
    LOOK_SECONDS_MIN,
    ROOM_SECONDS,
    TRICKLE_RATE,
    Bucket,
    Lately,
    Pace,
    Price,
    fetch_price,
    next_read_seconds,
    next_submit_seconds,
    pace_of,
    read_price,
    reads_granted,
    submits_granted,
)

NOW = 1_800_000_000.0
MANY = 10_000
NOTHING = Lately()


def at_now(
    budget: RateEstimate,
    *,
    tokens: float = 0.0,
    read_tokens: float = 0.0,
    refilled_seconds: float = 0.0,
    lately: Lately = NOTHING,
    ceiling: float | None = None,
) -> Pace:
    """The pace of now; refilled_seconds: how long ago the bucket was looked at."""
    bucket = Bucket(tokens, read_tokens, NOW - refilled_seconds)
    return pace_of(budget, bucket, now=NOW, lately=lately, ceiling_per_minute=ceiling)


@pytest.mark.parametrize(
    ("rate", "seconds", "tokens"), [(2.0, 0.5, 1.0), (2.0, 60.0, BURST_MIN), (100.0, 60.0, 100 * BURST_SECONDS)]
)
def test_tokens_gather_at_the_rate_up_to_a_burst(rate: float, seconds: float, tokens: float) -> None:
    assert at_now(RateEstimate(rate=rate), refilled_seconds=seconds).shared == tokens


def test_a_debt_is_paid_first() -> None:
    assert at_now(RateEstimate(rate=2.0), tokens=-5.0, refilled_seconds=1.0).shared == -3.0


def test_a_clock_that_lags_behind_the_last_claim_brings_nothing() -> None:
    assert at_now(RateEstimate(rate=100.0), tokens=3.0, refilled_seconds=-60.0).shared == 3.0


def test_in_a_pause_no_tokens_gather_and_no_submit_goes() -> None:
    pace = at_now(RateEstimate(rate=100.0, resume_at=NOW + 2), tokens=9.0, refilled_seconds=60.0)
    assert (pace.shared, submits_granted(pace, asked=MANY, reads_due=0), reads_granted(pace, asked=MANY)) == (9.0, 0, 0)
    assert next_submit_seconds(pace, granted=0, reads_due=0) == LOOK_SECONDS_MAX
    resumed = at_now(RateEstimate(rate=100.0, resume_at=NOW - 0.125), tokens=-2.0, refilled_seconds=60.0)
    assert resumed.shared == 10.5, "they gather since the pause ended"


def test_a_trickle_while_the_upstream_is_away() -> None:
    pace = at_now(RateEstimate(rate=100.0, broken_at=NOW - 9), refilled_seconds=60.0)
    assert (pace.shared, pace.shared_rate) == (BURST_MIN, TRICKLE_RATE)
    assert (submits_granted(pace, asked=MANY, reads_due=0), reads_granted(pace, asked=MANY)) == (0, 1)
    assert next_submit_seconds(pace, granted=0, reads_due=0) == 1.0


def test_of_a_burst_reads_that_are_due_come_first() -> None:
    pace = at_now(RateEstimate(rate=40.0, limit=2_400.0), tokens=7.5)
    assert pace.reads_to_count == 8
    assert [submits_granted(pace, asked=MANY, reads_due=due) for due in (0, 3, 8)] == [7, 4, 0]
    assert next_submit_seconds(pace, granted=4, reads_due=3) == pytest.approx(0.5 / 40, abs=LOOK_SECONDS_MIN)
    unlimited = at_now(RateEstimate(rate=40.0), tokens=7.5)
    free = at_now(RateEstimate(rate=40.0, limit=2_400.0, doubt=FREE_NATS), tokens=7.5)
    assert unlimited.reads_to_count == free.reads_to_count == 0


def test_of_a_full_minute_nothing_is_asked() -> None:
    budget = RateEstimate(rate=2.0, limit=300.0)
    full = at_now(budget, tokens=1.0, lately=Lately(submits=200, reads=95))
    assert (submits_granted(full, asked=MANY, reads_due=0), reads_granted(full, asked=MANY)) == (0, 0)
    assert next_submit_seconds(full, granted=0, reads_due=0) == ROOM_SECONDS
    room = at_now(budget, tokens=1.0, lately=Lately(submits=200, reads=94))
    assert room.room == pytest.approx(300 * RISE_TO - 294)
    assert submits_granted(room, asked=MANY, reads_due=0) == 1
    reads_free = at_now(RateEstimate(rate=2.0, limit=300.0, doubt=FREE_NATS), tokens=1.0, lately=Lately(200, 9_000))
    assert reads_free.room == pytest.approx(300 * RISE_TO - 200)


def test_who_asks_for_more_than_the_limit_has_the_room_for_it() -> None:
    assert at_now(RateEstimate(rate=6.0, limit=300.0)).room == 360.0


def test_a_ceiling_holds_for_all_kinds_and_whatever_was_learned() -> None:
    budget = RateEstimate(rate=1000.0, doubt=FREE_NATS)
    pace = at_now(budget, tokens=250.0, read_tokens=250.0, lately=Lately(all_kinds=597), ceiling=600.0)
    assert (pace.shared_rate, pace.free_rate, pace.room, pace.room_of_all) == (10.0, 10.0, 3.0, 3.0)
    assert (submits_granted(pace, asked=MANY, reads_due=0), reads_granted(pace, asked=MANY)) == (2, 2)
    assert math.isinf(at_now(budget).room)


def test_reads_that_do_not_count_have_a_bucket_of_their_own() -> None:
    pace = at_now(
        RateEstimate(limit=60.0, rate=1.0, doubt=FREE_NATS, ease_rate=12.0, resume_at=NOW + 60), read_tokens=3.0
    )
    assert (reads_granted(pace, asked=MANY), pace.on_trial) == (3, False)
    assert read_price(pace) == fetch_price(pace) == Price(free=1)
    assert next_read_seconds(pace, granted=3) == pytest.approx(1 / 12)


def test_reads_on_trial_cost_no_token_and_their_fetches_do() -> None:
    pace = at_now(RateEstimate(limit=60.0, rate=1.0, trial_reads=4, resume_at=NOW + 20))
    assert (reads_granted(pace, asked=MANY), reads_granted(pace, asked=3), pace.on_trial) == (4, 3, True)
    assert (read_price(pace), fetch_price(pace)) == (Price(trial=1), Price(shared=1))


def test_what_rounding_took_is_no_token_missing() -> None:
    pace = at_now(RateEstimate(rate=2.0, limit=120.0), tokens=1 - 1e-9)
    assert (submits_granted(pace, asked=MANY, reads_due=0), reads_granted(pace, asked=MANY)) == (1, 1)


@pytest.mark.parametrize("rate", [0.3, 7.0, 90.0])
def test_whoever_looks_and_however_often_the_pace_is_the_rate(rate: float) -> None:
    """Three workers at random instants: so many in a minute as the rate allows, and one burst."""
    chance = random.Random(3)
    budget = RateEstimate(rate=rate, limit=rate * 60 / RISE_TO)
    bucket, now, sent = Bucket(refilled_at=NOW), NOW, 0
    while now < NOW + 600:
        pace = pace_of(budget, bucket, now=now, lately=Lately(), ceiling_per_minute=None)
        granted = submits_granted(pace, asked=MANY, reads_due=0)
        bucket = Bucket(pace.shared - granted, pace.free, now)
        sent += granted
        wait = next_submit_seconds(pace, granted=granted, reads_due=0)
        assert LOOK_SECONDS_MIN <= wait <= LOOK_SECONDS_MAX
        now += wait * chance.uniform(0.3, 1.0)
    assert 0.98 * rate * 600 - 2 <= sent <= rate * 600 + max(BURST_MIN, BURST_SECONDS * rate)
