"""The rule by which the upstream's limit is learned, in virtual time: `CHAOS_SEED=N` repeats a run's choices."""

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from uuid import uuid4

import pytest

from app.pace.breaker import Health
from app.pace.decide import (
    EASE_RATE,
    FREE_NATS,
    HOLD_SECONDS,
    LIMIT_MIN,
    RATE_MAX,
    RATE_START,
    RateEstimate,
    hold_seconds,
    update_estimate,
)
from app.pace.models import Second, Throttled
from tests.pace.virtual import Run, World, draw_world

KINDS = ("token_bucket", "sliding_minute", "fixed_minute")
NOW = 1_800_000_000.0


def told(
    budget: RateEstimate, *, now: float = NOW, held: bool = False, passed: int = 0, **given: Sequence[object]
) -> RateEstimate:
    """What is believed after this."""
    return update_estimate(budget, now=now, held=held, passed=passed, **{"refused": (), "seconds": (), **given})  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("tells_reset", [True, False])
def test_a_hidden_limit_that_changes_is_used_and_seldom_met(tells_reset: bool) -> None:
    """Three kinds, polls counting or not, three changes by up to eight times: outside three minutes after each.

    Of all together what is promised; a single run may have bad luck.
    """
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(2**32))
    print(f"CHAOS_SEED={seed}")
    uses, refusals = [], []
    for place, (kind, counts_polls) in enumerate(list(product(KINDS, (False, True))) * 2):
        drawn = draw_world(kind, counts_polls, seed + place, settled_seconds=120.0)
        world = replace(drawn, tells_reset=tells_reset)
        run = Run(world)
        run.run()
        found = run.figures()
        print(
            f"{kind}, polls {counts_polls}, seed {world.seed}: {found.use:.3f} used, {found.refusals:.4f} refused; {found.parts}"
        )
        assert found.use >= 0.8
        assert found.refusals <= 0.05
        uses.append(found.use)
        refusals.append(found.refusals)
    print(f"mean of {len(uses)}: {sum(uses) / len(uses):.4f} used, {sum(refusals) / len(uses):.4f} refused")
    assert sum(uses) / len(uses) >= (0.95 if tells_reset else 0.93)
    assert sum(refusals) / len(uses) <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("tells_reset", [True, False])
def test_a_bucket_that_holds_next_to_nothing_is_used_too(tells_reset: bool) -> None:
    """Ten requests of up to a thousand a minute, which overtake each other on the way by as many."""
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(2**32))
    print(f"CHAOS_SEED={seed}")
    worlds = [draw_world("token_bucket", bool(place % 2), seed + place, burst=10) for place in range(8)]
    uses = []
    for world in worlds:
        run = Run(replace(world, tells_reset=tells_reset))
        run.run()
        found = run.figures()
        print(f"seed {world.seed}: {found.use:.3f} used, {found.refusals:.4f} refused; {found.parts}")
        assert found.refusals <= 0.02
        uses.append(found.use)
    assert sum(uses) / len(uses) >= 0.75


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("counts_polls", [False, True])
def test_whether_polls_count_is_found_out(kind: str, counts_polls: bool) -> None:
    run = Run(World(kind, counts_polls, ((0.0, 240),), 900.0, seed=7))
    run.run()
    assert run.budget.reads_free is not counts_polls


def test_an_upstream_without_a_limit_is_not_held_back_for_long() -> None:
    budget = RateEstimate(learned_at=NOW)
    for second in range(1, 6):
        budget = told(budget, now=NOW + second, held=True)
    assert budget.rate == RATE_START * 2**5
    assert told(replace(budget, rate=RATE_MAX), now=NOW + 9, held=True).rate == RATE_MAX


def test_a_429_to_next_to_nothing_does_not_stop_everything() -> None:
    budget = RateEstimate(limit=600.0, rate=9.6, cut_at=NOW - 600, resume_at=NOW - 599, learned_at=NOW - 500)
    seconds = [Second(int(NOW) - 1, submits=1, refused_submits=1)]
    for after in range(0, 60, 20):
        at = NOW + after
        budget = told(
            budget, now=at, refused=[Throttled(is_read=False, sent_at=at - 0.1, reset_at=None)], seconds=seconds
        )
        assert budget.limit == LIMIT_MIN
        assert budget.rate > 4 / 60


def test_time_in_which_nothing_was_held_back_teaches_nothing() -> None:
    budget = RateEstimate(
        limit=600.0, rate=9.6, cut_at=NOW - 60, resume_at=NOW - 59, learned_at=NOW - 50, ramp_seconds=9.0
    )
    assert told(budget, held=False) == replace(budget, learned_at=NOW)
    assert told(budget, held=True).ramp_seconds == 10.5, "a second or so for each look"
    assert told(replace(budget, resume_at=NOW + 5), held=True).ramp_seconds == 9.0


@pytest.mark.parametrize(("limit", "seconds"), [(1000.0, HOLD_SECONDS[0]), (80.0, 75.0), (5.0, HOLD_SECONDS[1])])
def test_it_rises_to_the_limit_and_then_beyond(limit: float, seconds: float) -> None:
    assert hold_seconds(limit) == seconds
    budget = RateEstimate(limit=limit, rate=0.96 * limit / 60, learned_at=NOW)
    rates = []
    for second in range(1, 121):
        budget = told(budget, now=NOW + second, held=True)
        rates.append(budget.rate * 60 / limit)
    assert rates == sorted(rates)
    assert 0.96 < rates[0] < 0.97
    assert 0.98 < rates[int(seconds) - 2] < 0.985
    assert rates[-1] > 1.3


def minute(requests: int, *, until: float) -> list[Second]:
    """An even minute of submits before that instant."""
    return [Second(int(until) - 60 + place, submits=requests // 60) for place in range(60)]


def test_a_429_tells_the_limit_and_the_others_of_its_episode_no_more() -> None:
    seconds = minute(600, until=NOW)
    first = Throttled(is_read=False, sent_at=NOW - 0.1, reset_at=NOW + 0.5)
    cut = told(RateEstimate(rate=20.0, limit=900.0), refused=[first], seconds=seconds)
    assert cut.limit == pytest.approx(600, rel=0.02)
    assert cut.rate == pytest.approx(9.6, rel=0.02)
    assert cut.resume_at == pytest.approx(NOW + 0.9)
    late = Throttled(is_read=False, sent_at=NOW - 0.05, reset_at=NOW + 0.7)
    again = told(cut, now=NOW + 0.2, refused=[late], seconds=seconds)
    assert (again.limit, again.relapses) == (pytest.approx(600, rel=0.02), 0)
    assert again.resume_at > cut.resume_at


def test_relapses_cut_deeper_and_deeper() -> None:
    budget, now, rates = RateEstimate(rate=16.0, limit=960.0, cut_at=NOW, resume_at=NOW + 1), NOW, []
    for _ in range(4):
        now = budget.resume_at + 1
        refused = Throttled(is_read=False, sent_at=now, reset_at=now + 0.2)
        budget = told(budget, now=now + 0.1, refused=[refused], seconds=minute(960, until=now))
        rates.append(budget.rate)
    assert [round(rate / before, 2) for before, rate in zip([16.0, *rates], rates, strict=False)] == [
        0.95,
        0.8,
        0.65,
        0.5,
    ]


def test_without_a_reset_instant_pauses_double_up_to_half_a_minute() -> None:
    budget, now, pauses = RateEstimate(rate=16.0, limit=960.0), NOW, []
    for _ in range(8):
        refused = Throttled(is_read=False, sent_at=now, reset_at=None)
        budget = told(budget, now=now, refused=[refused], seconds=minute(960, until=now))
        pauses.append(budget.resume_at - now)
        now = budget.resume_at + 1
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_reset_beyond_reason_is_not_waited_for() -> None:
    refused = Throttled(is_read=False, sent_at=NOW, reset_at=NOW + 86_400)
    assert told(RateEstimate(), refused=[refused]).resume_at < NOW + 121


def test_a_refused_read_settles_that_reads_count() -> None:
    free = RateEstimate(rate=10.0, limit=600.0, doubt=FREE_NATS)
    assert free.reads_free
    after = told(free, refused=[Throttled(is_read=True, sent_at=NOW, reset_at=NOW + 1)], seconds=minute(600, until=NOW))
    assert not after.reads_free
    assert after.trial_reads == 0


def test_what_a_refused_read_has_settled_a_few_refused_submits_do_not_undo() -> None:
    seconds = [Second(int(NOW) - 60 + place, submits=1, reads=4) for place in range(60)]
    budget = told(
        RateEstimate(limit=300.0), refused=[Throttled(is_read=True, sent_at=NOW, reset_at=NOW + 1)], seconds=seconds
    )
    refused = [Throttled(is_read=False, sent_at=NOW, reset_at=NOW + 1)]
    assert told(RateEstimate(limit=300.0), refused=refused * 3, seconds=seconds).reads_free
    assert not told(budget, refused=refused * 8, seconds=seconds).reads_free
    assert told(budget, refused=refused * 9, seconds=seconds).reads_free, "the upstream has changed its mind"


def test_a_minute_that_is_still_full_teaches_nothing_new() -> None:
    """Of a 429 without a reset instant: nothing was let in since the pause, so the pause was too short."""
    budget = RateEstimate(rate=9.6, limit=600.0, cut_at=NOW - 2, resume_at=NOW - 1, relapses=1, ramp_seconds=1.0)
    refused = [Throttled(is_read=False, sent_at=NOW, reset_at=None)]
    still = told(budget, now=NOW + 0.1, refused=refused, seconds=[Second(int(NOW) - 1, submits=2, refused_submits=2)])
    assert (still.limit, still.rate, still.relapses) == (budget.limit, budget.rate, 2)
    assert still.resume_at == pytest.approx(NOW + 4.1)
    assert told(budget, refused=refused, seconds=[Second(int(NOW) - 1, submits=9)]).limit != budget.limit


def test_what_passed_for_a_pace_may_have_been_a_minute_only_begun() -> None:
    """Without a reset instant: five hundred in three seconds are a fast bucket, until nothing more is let in."""
    burst = [Second(int(NOW) - 3 + place, submits=165) for place in range(3)]
    refused = Throttled(is_read=False, sent_at=NOW, reset_at=None)
    bucket = told(RateEstimate(rate=160.0), refused=[refused], seconds=burst)
    assert bucket.limit is not None
    assert bucket.limit > 5_000
    refused = replace(refused, sent_at=bucket.resume_at + 0.2)
    after = [Second(int(bucket.resume_at), submits=20, refused_submits=12)]
    minute = told(bucket, now=bucket.resume_at + 0.3, refused=[refused], seconds=burst + after)
    assert minute.limit == pytest.approx(500, rel=0.02)


def test_what_a_bucket_let_through_is_known_only_where_it_was_asked() -> None:
    """After a burst the minute's room is used up, and next to nothing is asked for the rest of it."""
    budget = RateEstimate(rate=8.2, limit=510.0, cut_at=NOW - 56, resume_at=NOW - 55, trial_at=NOW, ramp_seconds=55.0)
    burst = [Second(int(NOW) - 59, submits=490)]
    refused = [Throttled(is_read=False, sent_at=NOW, reset_at=None)]
    trickle = [Second(int(NOW) - 2, submits=20)]
    steady = [Second(int(NOW) - 56 + place, submits=8) for place in range(56)]
    assert told(budget, refused=refused, seconds=burst + trickle).limit == pytest.approx(510, rel=0.03)
    assert told(budget, refused=refused, seconds=steady).limit == pytest.approx(480, rel=0.01)


def test_a_trial_that_passes_settles_that_they_do_not() -> None:
    seconds = [Second(int(NOW) - 60 + place, submits=1, reads=3) for place in range(60)]
    refused = Throttled(is_read=False, sent_at=NOW, reset_at=NOW + 30)
    paused = told(RateEstimate(rate=20.0), refused=[refused], seconds=seconds)
    assert paused.trial_reads > 0
    after = told(paused, now=NOW + 1, passed=paused.trial_reads, seconds=seconds)
    assert after.reads_free
    assert after.limit == pytest.approx(30, abs=1), "submits alone, of the half minute that counts"


def test_trouble_breaks_and_answers_mend_slowly() -> None:
    def lately(jobs: int, failed: int) -> list[Health]:
        return [Health(uuid4(), f"model-{place}", jobs, failed) for place in range(4)]

    budget = RateEstimate(rate=50.0, learned_at=NOW)
    assert told(budget, health=lately(10, 5)).broken_at is None
    broken = told(budget, held=True, health=lately(10, 9))
    assert (broken.broken_at, broken.judged_at, broken.rate) == (NOW, NOW, 50.0)
    assert told(broken, now=NOW + 9, health=lately(10, 9)).broken_at == NOW
    assert told(broken, now=NOW + 9).broken_at == NOW, "nothing was heard"
    mended = told(broken, now=NOW + 9, health=lately(10, 3))
    assert (mended.broken_at, mended.judged_at, mended.ease_rate) == (None, NOW + 9, EASE_RATE)
    assert told(mended, now=NOW + 10, held=True).ease_rate == 2 * EASE_RATE
