"""The script in a real Valkey computes what the plain arithmetic does, whatever it is asked and whatever it forgets."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from app.limits.buckets import TOKEN, Level, Standing, drained, fits, poured, room_of
from app.limits.rate_script import PREFIX, Bucket, Charge, KnownUsage, RateScript
from app.tenants.decide import Rate

RATES = st.builds(Rate, st.sampled_from([1, 7, 600, 10_000_000]), st.sampled_from([1, 5, 100, 10_000_000]))
CHARGES = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(-3, 8))


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    async with Redis.from_url(redis_url) as made:
        yield made


def bucket(rate: Rate, policy: str = "tenant") -> Bucket:
    return Bucket(policy, f"{PREFIX}{uuid4().hex}", rate)


async def level_of(redis: "Redis", one: Bucket) -> Level | None:
    found = await redis.get(one.key)
    return None if found is None else Level(*map(int, found.split()))


async def put_level(redis: "Redis", one: Bucket, used: int, *, ago_micros: int = 0) -> int:
    """Write a level as of some time ago; Redis' time now."""
    seconds, micros = await redis.time()
    now = int(seconds) * 1_000_000 + int(micros)
    await redis.set(one.key, f"{used} {now - ago_micros}")
    return now


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rates=st.tuples(RATES, RATES, RATES), groups=st.lists(st.lists(CHARGES, min_size=1, max_size=8), max_size=6))
async def test_it_charges_as_the_model_does(
    redis: "Redis", rates: tuple[Rate, Rate, Rate], groups: list[list[tuple[int, int, int]]]
) -> None:
    script, buckets = RateScript(redis), [bucket(rate) for rate in rates]
    clock = bucket(Rate(1, 1_000))  # charged last in each group, so that what it leaves behind tells the instant
    for group in groups:
        charges = [
            Charge((buckets[one],) if one == two else (buckets[one], buckets[two]), count) for one, two, count in group
        ]
        before = [await level_of(redis, one) for one in buckets]
        verdicts = await script.charge([*charges, Charge((clock,), 1)], {})
        ticked = await level_of(redis, clock)
        assert ticked is not None
        standings = {
            one.key: Standing(
                one.policy,
                one.rate,
                drained(was, one.rate, ticked.at, room=room_of(one.rate)) if was else 0,
                room_of(one.rate),
            )
            for one, was in zip(buckets, before, strict=True)
        }
        for charge, verdict in zip(charges, verdicts, strict=False):
            made = all(fits(standings[one.key], charge.count) for one in charge.buckets)
            for one in charge.buckets if made else ():
                standing = standings[one.key]
                standings[one.key] = replace(standing, used=poured(standing, charge.count))
            assert (verdict.made, verdict.standings) == (made, tuple(standings[one.key] for one in charge.buckets))


async def test_a_full_bucket_refuses_and_charges_neither(redis: "Redis") -> None:
    script, tenant, key = RateScript(redis), bucket(Rate(60, 3)), bucket(Rate(60, 2), "key")
    verdicts = await script.charge([Charge((tenant, key), 1)] * 3 + [Charge((tenant,), 1)] * 2, {})
    assert [verdict.made for verdict in verdicts] == [True, True, False, True, False]
    assert [standing.policy for standing in verdicts[2].standings] == ["tenant", "key"]
    assert [standing.remaining for standing in verdicts[2].standings] == [1, 0]
    assert [verdict.standings[0].remaining for verdict in verdicts] == [2, 1, 1, 0, 0]


async def test_it_drains_by_redis_clock(redis: "Redis") -> None:
    script, one = RateScript(redis), bucket(Rate(600, 10))
    await put_level(redis, one, 10 * TOKEN, ago_micros=1_000_000)
    [verdict] = await script.charge([Charge((one,), 10)], {})
    assert verdict.made
    await put_level(redis, one, 10 * TOKEN, ago_micros=-3_600_000_000)
    [verdict] = await script.charge([Charge((one,), 1)], {})
    assert not verdict.made, "a clock that was set back"
    assert verdict.standings[0].reset_seconds == 1


async def test_a_narrower_limit_is_full_at_most(redis: "Redis") -> None:
    script, one = RateScript(redis), bucket(Rate(60, 10))
    await put_level(redis, one, 10_000 * TOKEN)
    for known in ({}, {one.key: KnownUsage(10_000 * TOKEN, counts=True)}):
        [verdict] = await script.charge([Charge((one,), 1)], known)
        assert (verdict.made, verdict.standings[0].reset_seconds) == (False, 1)
    await put_level(redis, one, 10_000 * TOKEN, ago_micros=1_000_000)
    [verdict] = await script.charge([Charge((one,), 1)], {})
    assert verdict.made, "it drains from there"


async def test_an_empty_bucket_is_forgotten(redis: "Redis") -> None:
    script, one = RateScript(redis), bucket(Rate(60, 5))
    await script.charge([Charge((one,), 2)], {})
    assert 1_000 < await redis.pttl(one.key) <= 3_001
    await script.charge([Charge((one,), -2)], {})
    assert not await redis.exists(one.key)
    await script.charge([Charge((one,), 0)], {})
    assert not await redis.exists(one.key), "asking leaves nothing behind"


async def test_what_it_has_lost_it_is_told(redis: "Redis") -> None:
    script, one = RateScript(redis), bucket(Rate(60, 10))
    for counts in (False, True):
        await redis.delete(one.key)
        [verdict] = await script.charge([Charge((one,), 1)], {one.key: KnownUsage(9 * TOKEN, counts)})
        assert (verdict.made, verdict.standings[0].remaining) == (True, 0)
        [verdict] = await script.charge([Charge((one,), 1)], {one.key: KnownUsage(0, counts)})
        assert not verdict.made, "what it has counts for more"


async def test_what_it_has_counts_unless_it_was_away(redis: "Redis") -> None:
    script, one = RateScript(redis), bucket(Rate(60, 10))
    for counts, remaining in ((False, 7), (True, 0)):
        await put_level(redis, one, 2 * TOKEN)
        [verdict] = await script.charge([Charge((one,), 1)], {one.key: KnownUsage(9 * TOKEN, counts)})
        assert verdict.standings[0].remaining == remaining


async def test_the_script_is_loaded_again_when_it_is_forgotten(redis: "Redis") -> None:
    script, one = RateScript(redis), bucket(Rate(60, 10))
    for _ in range(2):
        await redis.script_flush()
        assert [verdict.made for verdict in await script.charge([Charge((one,), 1)], {})] == [True]


async def test_all_who_find_redis_agree_on_when_that_was(redis: "Redis") -> None:
    first, other = RateScript(redis), RateScript(redis)
    await redis.delete(f"{PREFIX}found")
    assert await first.micros_since_found(forget_micros=60_000_000) == 0
    assert 0 < await other.micros_since_found(forget_micros=60_000_000) < 60_000_000
    await redis.delete(f"{PREFIX}found")
