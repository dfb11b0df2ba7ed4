"""Rate limiters of four processes on a Valkey that is emptied, killed, stopped, and comes back."""

import asyncio
import math
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.core.ids import new_id
from app.limits.buckets import SECOND
from app.limits.rate_headers import RateLimited
from app.limits.rate_script import PREFIX, Bucket, limits_of
from app.limits.rates import PROBE_SECONDS, REDIS_SECONDS, RateLimiter
from app.stack.servers.valkey import EmbeddedValkey
from app.tenants.decide import Rate
from tests.gateway import eventually
from tests.stopwatch import Stopwatch

PROCESSES = 4
RATE = Rate(6_000, 50)
PER_SECOND = RATE.per_minute / 60
SLACK = 2
"""Submits that may fall on either side of an instant."""


def bucket(rate: Rate = RATE, policy: str = "tenant") -> Bucket:
    return Bucket(policy, f"{PREFIX}{uuid4().hex}", rate)


async def admitted(limiter: RateLimiter, *buckets: Bucket, count: int = 1) -> bool:
    try:
        await limiter.take(buckets, count)
    except RateLimited:
        return False
    return True


@dataclass
class Flood:
    """Submits to some limiters, ten times what is allowed, and when each was admitted."""

    limiters: list[RateLimiter]
    bucket: Bucket = field(default_factory=bucket)
    asked_at: list[float] = field(default_factory=list)
    admitted_at: list[float] = field(default_factory=list)
    slowest_seconds: float = 0.0

    async def run(self, seconds: float) -> None:
        until_at = time.monotonic() + seconds
        await asyncio.gather(*(self._run(limiter, until_at) for limiter in self.limiters))

    async def _run(self, limiter: RateLimiter, until_at: float) -> None:
        while time.monotonic() < until_at:
            watch, asked_at = Stopwatch(), time.monotonic()
            if await admitted(limiter, self.bucket):
                self.asked_at.append(asked_at)
                self.admitted_at.append(time.monotonic())
            self.slowest_seconds = max(self.slowest_seconds, watch.own_seconds)
            await asyncio.sleep(len(self.limiters) / (10 * PER_SECOND))

    def most_over(self) -> float:
        """By how many submits the worst stretch of time went beyond burst + rate * t. Each was admitted at some time between
        its question and its answer: a stretch lasts from the first question to the last answer in it, so that a machine that
        is held up turns nothing into a burst."""
        at = sorted(zip(self.asked_at, self.admitted_at, strict=True))
        most = -math.inf
        for first, (asked_at, answered_at) in enumerate(at):
            for number, (_, admitted_at) in enumerate(at[first:], 1):
                answered_at = max(answered_at, admitted_at)
                most = max(most, number - RATE.burst - PER_SECOND * (answered_at - asked_at))
        return most

    def between(self, since: float, until: float) -> int:
        return sum(since < at < until for at in self.admitted_at)


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "valkey", password=uuid4().hex)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def limiters(valkey: EmbeddedValkey) -> AsyncIterator[list[RateLimiter]]:
    made = [RateLimiter(valkey.url) for _ in range(PROCESSES)]
    for one in made:
        one.share_among(PROCESSES)
    yield made
    for one in made:
        await one.close()


def kill(valkey: EmbeddedValkey, number: int) -> None:
    assert valkey.pid is not None
    os.kill(valkey.pid, number)


async def all_back(limiters: list[RateLimiter]) -> None:
    async def back() -> bool:
        return not any(one.away for one in limiters)

    await eventually(back)


async def test_all_together_admit_what_one_would(limiters: list[RateLimiter]) -> None:
    flood = Flood(limiters)
    watch = Stopwatch()
    await flood.run(2.0)
    offered_seconds = max(0.0, watch.own_seconds)  # a busy machine does not ask as often as it may
    assert flood.most_over() <= SLACK
    assert len(flood.admitted_at) >= 0.95 * (RATE.burst + PER_SECOND * offered_seconds)


async def test_an_emptied_valkey_lets_no_burst_through(valkey: EmbeddedValkey, limiters: list[RateLimiter]) -> None:
    flood = Flood(limiters)
    running = asyncio.create_task(flood.run(2.0))
    async with Redis.from_url(valkey.url) as redis:
        for _ in range(6):
            await asyncio.sleep(0.3)
            await redis.flushall()
            await redis.script_flush()
    await running
    assert flood.most_over() <= SLACK


FLOOD_SECONDS_MAX = 500.0


@pytest.mark.parametrize("lost", ["killed", "killed and emptied", "stopped"])
async def test_a_lost_valkey_lets_one_burst_through_at_most(
    valkey: EmbeddedValkey, limiters: list[RateLimiter], lost: str
) -> None:
    """Where all processes are flooded alike, hardly anything at all."""
    flood = Flood(limiters)

    async def all_away() -> bool:
        return all(one.away for one in limiters)

    with capture_logs() as logs:
        running = asyncio.create_task(flood.run(FLOOD_SECONDS_MAX))
        await asyncio.sleep(1.0)
        lost_at = time.monotonic()
        kill(valkey, signal.SIGSTOP if lost == "stopped" else signal.SIGKILL)
        await eventually(all_away)
        alone = Stopwatch()
        await asyncio.sleep(1.0)
        alone_seconds = max(0.0, alone.own_seconds)
        returned_at, watch = time.monotonic(), Stopwatch()
        if lost == "stopped":
            kill(valkey, signal.SIGCONT)
        else:
            await valkey.wait()
            await valkey.start()
            if lost == "killed and emptied":
                async with Redis.from_url(valkey.url) as redis:
                    await redis.flushall()
        await all_back(limiters)
        back_after = watch.own_seconds
        await asyncio.sleep(0.5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert back_after < 2 * (PROBE_SECONDS + REDIS_SECONDS) + 0.5
    assert flood.slowest_seconds < REDIS_SECONDS + 0.75, "who is not answered waits no longer than that"
    assert flood.most_over() <= 0.1 * RATE.burst
    assert flood.between(lost_at, returned_at) >= 0.8 * PER_SECOND * alone_seconds, "limits go on without Redis"
    told = [
        entry["event"] for entry in logs if entry["event"].startswith("rates.redis_") and "still" not in entry["event"]
    ]
    assert sorted(told) == ["rates.redis_away"] * PROCESSES + ["rates.redis_back"] * PROCESSES


async def test_a_burst_that_falls_on_one_process_is_known_when_valkey_goes_and_comes(
    valkey: EmbeddedValkey, limiters: list[RateLimiter]
) -> None:
    """The worst case: others know nothing of it, and have their shares of a burst; it comes back to an empty Valkey."""
    slow = bucket(Rate(1, 40))
    first, *others = limiters
    assert await admitted(first, slow, count=40)
    kill(valkey, signal.SIGKILL)
    await valkey.wait()
    assert not await admitted(first, slow)
    for other in others:
        assert [await admitted(other, slow) for _ in range(12)] == [True] * 10 + [False] * 2
    await valkey.start()
    await all_back(limiters)
    async with Redis.from_url(valkey.url) as redis:
        await redis.flushall()
    assert [await admitted(one, slow) for one in limiters] == [False] * PROCESSES


async def test_a_share_of_less_than_one_submit_is_one(valkey: EmbeddedValkey, limiters: list[RateLimiter]) -> None:
    kill(valkey, signal.SIGKILL)
    await valkey.wait()
    small = bucket(Rate(1, 1))
    assert [await admitted(one, small) for one in limiters * 2] == [True] * PROCESSES + [False] * PROCESSES


async def test_without_valkey_it_starts_by_itself(valkey: EmbeddedValkey) -> None:
    kill(valkey, signal.SIGSTOP)
    limiter, one = RateLimiter(valkey.url), bucket()
    try:
        watch = Stopwatch()
        verdicts = await asyncio.gather(*(admitted(limiter, one) for _ in range(60)))
        assert watch.own_seconds < REDIS_SECONDS + 0.2
        assert RATE.burst <= sum(verdicts) <= RATE.burst + SLACK
    finally:
        kill(valkey, signal.SIGCONT)
        await limiter.close()


async def test_a_valkey_that_takes_no_writes_is_away(valkey: EmbeddedValkey, limiters: list[RateLimiter]) -> None:
    limiter, one = limiters[0], bucket()
    async with Redis.from_url(valkey.url) as redis:
        await redis.config_set("maxmemory", 1)
        assert await admitted(limiter, one)
        assert limiter.away
        await asyncio.sleep(2 * PROBE_SECONDS)
        assert limiter.away
        await redis.config_set("maxmemory", 0)
    await all_back([limiter])
    assert await admitted(limiter, one)


async def test_a_process_that_was_held_up_does_not_take_valkey_for_lost(limiters: list[RateLimiter]) -> None:
    limiter, one = limiters[0], bucket(Rate(60_000, 1_000))
    assert await admitted(limiter, one)
    for turns in range(1, 7):
        for _ in range(10):  # on a busy machine Valkey itself may be held up for as long
            await all_back([limiter])
            submit = asyncio.create_task(admitted(limiter, one))
            for _ in range(turns):
                await asyncio.sleep(0)
            time.sleep(REDIS_SECONDS + 0.05)
            assert await submit
            if not limiter.away:
                break
        assert not limiter.away, f"held up after {turns} turns of the loop"


async def test_two_keys_share_their_tenants_limit(limiters: list[RateLimiter]) -> None:
    tenant, rate = new_id(), Rate(60, 6)
    narrow = limits_of(tenant, rate, new_id(), Rate(60, 2))
    wide = limits_of(tenant, rate, new_id(), None)
    assert [await admitted(limiters[0], *narrow) for _ in range(3)] == [True, True, False]
    assert [await admitted(limiters[1], *wide) for _ in range(5)] == [True] * 4 + [False]
    with pytest.raises(RateLimited) as refusal:
        await limiters[2].take(narrow)
    assert refusal.value.extra["violated-policies"] == ["tenant", "key"]


@pytest.mark.parametrize("away", [False, True])
async def test_what_is_given_back_can_be_taken_again(
    valkey: EmbeddedValkey, limiters: list[RateLimiter], away: bool
) -> None:
    limiter, one = limiters[0], bucket(Rate(1, 8))
    if away:
        kill(valkey, signal.SIGKILL)
        await valkey.wait()
        assert (await limiter.look([one]))[0].remaining == 2, "a quarter of it"
    most = (await limiter.look([one]))[0].remaining
    for _ in range(3):
        taken = [await limiter.take([one]) for _ in range(most)]
        assert not await admitted(limiter, one)
        for each in taken:
            limiter.give_back(each)
    assert (await limiter.look([one]))[0].remaining == most


def afterwards(rate: Rate) -> Bucket:
    return Bucket("refused", f"{PREFIX}{uuid4().hex}", rate, afterwards=True)


async def spend(limiters: list[RateLimiter], one: Bucket, *, rounds: int) -> int:
    """What is let through of so many tries on each, each charged once it is done."""
    through = 0
    for _ in range(rounds):
        for limiter in limiters:
            if limiter.find_exhausted(one) is None:
                through += 1
                limiter.charge_afterwards(one)
                await limiter.look([bucket()])  # answered in the same group: by then the charge is told
    return through


async def test_what_is_charged_afterwards_counts_over_all_processes(limiters: list[RateLimiter]) -> None:
    one = afterwards(Rate(1, 8))
    assert await spend(limiters, one, rounds=20) <= 8 + PROCESSES
    standing = limiters[0].find_exhausted(one)
    assert standing is not None
    assert standing.remaining == 0
    assert 0 < standing.micros_until(1) <= 60 * SECOND * PROCESSES


async def test_an_overdrawn_bucket_drains_before_anybody_goes_on(limiters: list[RateLimiter]) -> None:
    """So many processes, each with one more in hand, do not make so many times the rate."""
    one, began_at = afterwards(Rate(600, 10)), time.monotonic()
    through = 0
    while time.monotonic() - began_at < 2.0:
        through += await spend(limiters, one, rounds=1)
        await asyncio.sleep(0.005)
    assert through <= 10 + 10 * (time.monotonic() - began_at) + PROCESSES + 1


async def test_it_is_never_overdrawn_by_more_than_it_holds(limiters: list[RateLimiter]) -> None:
    one = afterwards(Rate(60, 5))
    for _ in range(100):
        limiters[0].charge_afterwards(one)
    standing = (await limiters[0].look([one]))[0]
    assert 8.9 < standing.micros_until(5) / SECOND <= 10.0


async def test_without_valkey_each_process_charges_its_share(
    valkey: EmbeddedValkey, limiters: list[RateLimiter]
) -> None:
    kill(valkey, signal.SIGKILL)
    await valkey.wait()
    for limiter in limiters:
        await limiter.look([bucket()])
        assert limiter.away
    one = afterwards(Rate(1, 8))
    assert await spend(limiters, one, rounds=20) == 8
