"""The times of polls in a real Valkey: measured by its clock, shared by processes, soon forgotten, and never waited for."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from app.core import clock
from app.segmind.decide import GONE, SECOND
from app.segmind.steady import KNOWN_SECONDS, PREFIX, REDIS_SECONDS, Poll, SteadyPolls
from app.stack.servers.valkey import EmbeddedValkey
from tests.doubles.forwarder import forwarding
from tests.gateway import eventually
from tests.stopwatch import Stopwatch

LONG = 3 * SECOND
"""An interval far longer than anything here takes."""


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    async with Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture
async def processes(redis_url: str) -> AsyncIterator[tuple[SteadyPolls, SteadyPolls]]:
    made = SteadyPolls(redis_url), SteadyPolls(redis_url)
    yield made
    for one in made:
        await one.close()


class Client:
    """One job and one key."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self.key_id, self.job_id = uuid4(), uuid4()

    @property
    def key(self) -> str:
        return f"{PREFIX}{self.key_id.hex}:{self.job_id.hex}"

    async def stored(self) -> list[int]:
        return [int(one) for one in (await self._redis.get(self.key)).split()]

    async def answered_ago(self, micros: int, *intervals: int) -> None:
        """Write that the last poll was answered so long ago, after these intervals."""
        seconds, rest = await self._redis.time()
        text = " ".join(map(str, (int(seconds) * SECOND + int(rest) - micros, *intervals)))
        await self._redis.set(self.key, text, ex=KNOWN_SECONDS)

    async def poll(self, polls: SteadyPolls, *, ago_seconds: float = 0.0) -> Poll:
        return await polls.arrived(self.key_id, self.job_id, arrived_at=clock.monotonic() - ago_seconds)


Processes = tuple[SteadyPolls, SteadyPolls]


async def settled(redis: "Redis", polls: SteadyPolls) -> None:
    """All answers are stored: this arrival was sent after them."""
    await Client(redis).poll(polls)


async def test_processes_share_what_they_measure(redis: "Redis", processes: Processes) -> None:
    one, other = processes
    client = Client(redis)
    first = await client.poll(one)
    assert (first.interval, first.held_seconds) == (None, 0)
    assert not await redis.exists(client.key), "a poll of a job that may not exist leaves nothing behind"
    one.answered(first)
    await settled(redis, one)
    assert len(await client.stored()) == 1
    began_at = time.monotonic()
    await asyncio.sleep(0.2)
    second = await client.poll(other)
    assert second.interval is not None
    assert 0.2 * SECOND <= second.interval <= (time.monotonic() - began_at + 0.1) * SECOND
    assert second.held_seconds == 0
    other.answered(second)
    await settled(redis, other)
    await asyncio.sleep(0.3)
    third = await client.poll(one)
    assert third.interval is not None
    assert 0 < third.held_seconds <= second.interval / SECOND < third.interval / SECOND


async def test_the_last_three_intervals_count(redis: "Redis", processes: Processes) -> None:
    polls, _ = processes
    client = Client(redis)
    for known, held in (((2 * LONG, LONG), 3.0), ((LONG, 2 * LONG), 3.0), ((3 * LONG, 4 * LONG), 3.0)):
        await client.answered_ago(10 * LONG, *known)
        poll = await client.poll(polls)
        assert held - 0.5 < poll.held_seconds <= held
        assert (await client.stored())[0] == 0, "it waits for its answer"
        polls.answered(poll)
        await settled(redis, polls)
        answered_at, *intervals = await client.stored()
        assert answered_at > 0
        assert intervals == [known[1], poll.interval]
        assert 0 < await redis.ttl(client.key) <= KNOWN_SECONDS


async def test_it_counts_from_the_arrival_of_the_request(redis: "Redis", processes: Processes) -> None:
    polls, _ = processes
    client = Client(redis)
    await client.answered_ago(LONG, LONG, LONG)
    poll = await client.poll(polls, ago_seconds=1.0)
    assert poll.interval is not None
    assert poll.interval < LONG - 0.5 * SECOND
    assert poll.held_seconds < LONG / SECOND - 1.5


async def test_beside_a_poll_without_an_answer_none_is_held(redis: "Redis", processes: Processes) -> None:
    one, other = processes
    client = Client(redis)
    await client.answered_ago(LONG, LONG, LONG)
    held = await client.poll(one)
    beside = await client.poll(other)
    assert held.held_seconds > 1
    assert (beside.interval, beside.held_seconds) == (0, 0)
    together = [await client.answered_ago(LONG, LONG, LONG), *await asyncio.gather(client.poll(one), client.poll(one))]
    assert [poll is not None and poll.held_seconds > 0 for poll in together] == [False, True, False]


async def test_after_a_lost_answer_nothing_is_counted_from_an_older_one(redis: "Redis", processes: Processes) -> None:
    polls, _ = processes
    client = Client(redis)
    await client.answered_ago(LONG, LONG, LONG)
    await client.poll(polls)  # and its process died
    poll = await client.poll(polls)
    assert (poll.interval, poll.held_seconds) == (0, 0)


async def test_who_has_gone_is_held_no_more(redis: "Redis", processes: Processes) -> None:
    one, other = processes
    client = Client(redis)
    await client.answered_ago(LONG, LONG, LONG)
    held = await client.poll(one)
    beside = await client.poll(other)
    other.answered(beside)
    await settled(redis, other)
    one.answered(held, gone=True)
    await settled(redis, one)
    assert (await client.stored())[1:] == [0, GONE]
    for polls in (other, one, other):
        seconds, rest = await redis.time()
        await redis.set(client.key, f"{int(seconds) * SECOND + int(rest) - LONG} {LONG} {GONE}", ex=KNOWN_SECONDS)
        poll = await client.poll(polls)
        assert poll.held_seconds == 0
        polls.answered(poll)
        await settled(redis, polls)
        assert (await client.stored())[1:] == [GONE, GONE]


@pytest.mark.parametrize("stored", [b"", b"nonsense", b"1 2 x", b"\xff"])
async def test_what_is_not_ours_holds_nobody(redis: "Redis", processes: Processes, stored: bytes) -> None:
    polls, _ = processes
    client = Client(redis)
    await redis.set(client.key, stored)
    poll = await client.poll(polls)
    assert poll.held_seconds == 0
    polls.answered(poll)
    await settled(redis, polls)
    assert len(await client.stored()) == 1
    assert not polls.away


async def test_many_at_once_share_their_round_trips(redis: "Redis", processes: Processes) -> None:
    polls, _ = processes
    key_id = uuid4()
    await settled(redis, polls)  # connected, and the script is there
    before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    arrived = await asyncio.gather(
        *(polls.arrived(key_id, UUID(int=number), arrived_at=clock.monotonic()) for number in range(1_000))
    )
    for poll in arrived:
        polls.answered(poll)
    await settled(redis, polls)
    after = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert not polls.away
    assert after - before <= 25
    assert len([key async for key in redis.scan_iter(f"{PREFIX}{key_id.hex}:*", count=1_000)]) == 1_000


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "valkey", password=uuid4().hex)
    await server.start()
    yield server
    await server.stop()


async def test_without_redis_nobody_is_held_or_waits(valkey: EmbeddedValkey) -> None:
    polls = SteadyPolls(valkey.url)
    assert valkey.pid is not None
    async with Redis.from_url(valkey.url) as redis:
        client = Client(redis)
        await client.answered_ago(LONG, LONG, LONG)
        assert (await client.poll(polls)).held_seconds > 1
        os.kill(valkey.pid, signal.SIGSTOP)
        watch = Stopwatch()
        arrived = await asyncio.gather(*(client.poll(polls) for _ in range(1_000)))
        assert watch.own_seconds < 2 * REDIS_SECONDS + 0.5
        assert polls.away
        assert {poll.held_seconds for poll in arrived} == {0.0}
        watch = Stopwatch()
        for _ in range(1_000):
            polls.answered(await client.poll(polls))
        assert watch.own_seconds < 0.1
        os.kill(valkey.pid, signal.SIGCONT)

        async def back() -> bool:
            return not polls.away

        await eventually(back)
        await client.answered_ago(LONG, LONG, LONG)
        assert (await client.poll(polls)).held_seconds > 1
    await polls.close()


async def test_a_redis_that_takes_no_writes_is_away(valkey: EmbeddedValkey) -> None:
    polls = SteadyPolls(valkey.url)
    async with Redis.from_url(valkey.url) as redis:
        client = Client(redis)
        await redis.config_set("maxmemory", "1")
        polls.answered(await client.poll(polls))

        async def away() -> bool:
            return polls.away

        await eventually(away)
        await asyncio.sleep(1.2)
        assert polls.away
        await redis.config_set("maxmemory", "0")

        async def back() -> bool:
            return not polls.away

        await eventually(back)
    await polls.close()


async def calls_of_script(redis: "Redis") -> int:
    return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])


async def test_a_slow_redis_is_away_until_it_is_fast(valkey: EmbeddedValkey) -> None:
    """Also if it can be reached: polls would wait for it again and again."""
    async with Redis.from_url(valkey.url) as redis, forwarding(valkey.url) as between:
        polls = SteadyPolls(between.url)
        client = Client(redis)
        await client.poll(polls)
        assert not polls.away
        between.delay(REDIS_SECONDS + 0.05)
        await client.poll(polls)
        before = await calls_of_script(redis)

        async def tried() -> bool:
            assert polls.away
            return await calls_of_script(redis) - before >= 4

        await eventually(tried)
        between.delay(0.0)

        async def back() -> bool:
            return not polls.away

        await eventually(back)
        await polls.close()
