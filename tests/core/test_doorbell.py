"""Rings as workers hear them: at once, by one worker each, in few wake-ups, and again after a lost connection."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.core.process.spaced import Spaced
from app.core.redis import subscription
from app.core.redis.arq_redis import QUEUE
from app.core.redis.doorbell import FINISHED, RUNG, TASKS, Doorbell, Task
from tests.doubles.forwarder import forwarding
from tests.doubles.redis_server import PORT, PROGRAMS, find_server, redis_server
from tests.gateway import eventually
from tests.servers import redis_of_a_gateway


class Worker:
    """One that hears rings and has room for some tasks."""

    def __init__(self, url: str, room: Collection[Task] = TASKS) -> None:
        self.rung: list[Task] = []
        self.woken = 0
        self.connections: list[bool] = []
        self.room = set(room)
        self._doorbell = Doorbell(url)
        self._listening = asyncio.create_task(
            self._doorbell.listen_rings(
                woken=self._wake,
                rung=self.rung.append,
                has_room=self.room.__contains__,
                connected=self.connections.append,
            )
        )

    def _wake(self) -> None:
        self.woken += 1

    async def reach(self, *connections: bool) -> None:
        """Until it was connected and disconnected so, in this order."""

        async def look() -> bool:
            return self.connections == list(connections)

        await eventually(look)

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        await self._doorbell.close()


@contextlib.asynccontextmanager
async def worker(url: str, room: Collection[Task] = TASKS) -> AsyncIterator[Worker]:
    made = Worker(url, room)
    try:
        await made.reach(True)
        yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def doorbell(url: str) -> AsyncIterator[Doorbell]:
    bell = Doorbell(url)
    try:
        yield bell
    finally:
        await bell.close()


async def heard(workers: list[Worker], *rung: Task) -> None:
    """Until these rings, in any order, have been followed by some of these workers; by one each."""

    async def look() -> bool:
        return sum((len(one.rung) for one in workers), 0) >= len(rung)

    await eventually(look)
    assert sorted(task for one in workers for task in one.rung) == sorted(rung)


async def test_each_ring_is_followed_by_one_worker(redis_url: str) -> None:
    async with (
        worker(redis_url) as first,
        worker(redis_url) as second,
        worker(redis_url) as third,
        doorbell(redis_url) as bell,
    ):
        workers = [first, second, third]
        for task in TASKS:
            bell.ring(task)
        await heard(workers, *TASKS)

        async def all_roused() -> bool:
            return all(one.woken == 2 for one in workers)

        await eventually(all_roused)  # each of them may have to stand in for the one that follows
        bell.ring("poll")
        await heard(workers, *TASKS, "poll")
        assert sum(len(one.rung) for one in workers) == 4


async def test_what_others_publish_there_is_left_alone(redis_url: str) -> None:
    ended: list[UUID] = []
    job_id = uuid4()
    async with worker(redis_url) as one, doorbell(redis_url) as bell, Redis.from_url(redis_url) as redis:
        listening = asyncio.create_task(bell.listen(ended.extend))

        async def subscribed() -> bool:
            return (await redis.pubsub_numsub(FINISHED))[0][1] > 0

        await eventually(subscribed)
        for channel in (f"{RUNG}:{redis_url.rpartition('/')[2]}", FINISHED):
            for message in (b"", b"\xff\xfe", b"drop tables", b"1" * 15):
                await redis.publish(channel, message)
        bell.ring("dispatch")
        bell.announce([job_id], due=False)
        await heard([one], "dispatch")

        async def told() -> bool:
            return bool(ended)

        await eventually(told)
        assert ended == [job_id]
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_who_has_no_room_leaves_it_to_others(redis_url: str) -> None:
    async with worker(redis_url, room=["deliver"]) as full, worker(redis_url) as free, doorbell(redis_url) as bell:
        for number in range(1, 6):
            bell.ring("dispatch")

            async def followed(number: int = number) -> bool:
                return len(free.rung) == number

            await eventually(followed)
        assert full.rung == []


async def test_a_flood_of_rings_is_few_wake_ups(redis_url: str) -> None:
    async with worker(redis_url) as one, contextlib.AsyncExitStack() as stack:
        bells = [await stack.enter_async_context(doorbell(redis_url)) for _ in range(20)]
        for bell in bells:
            for _ in range(50):
                bell.ring("dispatch")

        async def quiet() -> bool:
            return one.woken >= 2 * len(bells)  # each at once, and once more for those that came meanwhile

        await eventually(quiet)

        async def rung() -> bool:
            return len(one.rung) >= 1

        await eventually(rung)
        assert one.woken <= 3 * len(bells)
        assert len(one.rung) <= one.woken


async def test_a_lost_subscription_is_taken_up_again(redis_url: str) -> None:
    async with forwarding(redis_url) as redis, worker(redis.url) as one, doorbell(redis_url) as bell:
        for number in range(1, 3):
            redis.cut()
            await one.reach(*[True, False] * number)
            redis.mend()
            await one.reach(*[True, False] * number, True)
            bell.ring("dispatch")
            await heard([one], *["dispatch"] * number)
            assert len(one.rung) == number


async def test_a_subscription_that_has_died_without_a_word_is_found_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(subscription, "QUIET_SECONDS", 0.2)
    async with redis_server(find_server(PROGRAMS[0]), tmp_path / "one") as (address, process):
        url = f"redis://{address}:{PORT}"
        async with worker(url) as one, doorbell(url) as bell:
            bell.ring("poll")
            await heard([one], "poll")
            os.kill(process.pid, signal.SIGSTOP)
            try:

                async def lost() -> bool:
                    return one.connections[-1] is False

                await eventually(lost)
            finally:
                os.kill(process.pid, signal.SIGCONT)

            async def found() -> bool:
                return one.connections[-1] is True

            await eventually(found)
            before = len(one.rung)
            bell.ring("poll")

            async def rung() -> bool:
                return len(one.rung) > before

            await eventually(rung)
            assert set(one.rung) == {"poll"}


async def test_a_subscription_that_hangs_while_it_is_made_is_given_up(redis_url: str) -> None:
    async with forwarding(redis_url) as redis:
        redis.hush()
        bell = Doorbell(redis.url)
        one = Worker(redis.url)
        try:
            with capture_logs() as lines:

                async def given_up() -> bool:
                    return any(line["event"] == "subscription.lost" for line in lines)

                await eventually(given_up)
            assert one.connections == []
            redis.cut()
            redis.mend()
            await one.reach(True)
        finally:
            await one.close()
            await bell.close()


async def test_rights_that_are_missing_are_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "REFUSED_SECONDS", 0.01)
    line = "user some on >words ~* resetchannels +@all"
    async with redis_server(find_server(PROGRAMS[0]), tmp_path / "one", line) as (address, _process):
        url = f"redis://some:words@{address}:{PORT}"
        with capture_logs() as lines:
            one = Worker(url)
            async with doorbell(url) as bell, Redis.from_url(url) as redis:

                async def refused(names: set[str]) -> bool:
                    return names <= {line["event"] for line in lines}

                for _ in range(3):
                    bell.ring("dispatch")
                    bell.announce([uuid4()], due=False)

                    async def rung() -> bool:
                        return bool(await redis.delete(QUEUE, "arq:job:dispatch"))

                    await eventually(rung)
                await eventually(lambda: refused({"subscription.lost", "redis.refused"}))
            await one.close()
        refusals = [line for line in lines if "mend" in line]  # other tests' processes log here, too
        assert not any("Permission" in str(line) for line in lines if line["event"] == "redis.away"), lines
        told = [(line["event"], str(line.get("name") or line["channels"])) for line in refusals]
        assert len(told) == len(set(told)) == 3, lines
        assert all("&waystation:*" in line["mend"] for line in refusals)


async def test_rings_of_another_database_wake_nobody(redis_url: str) -> None:
    other = redis_of_a_gateway(redis_url)
    async with worker(redis_url) as one, worker(other) as two, doorbell(redis_url) as bell, doorbell(other) as far:
        far.ring("dispatch")
        await heard([two], "dispatch")
        bell.ring("dispatch")
        await heard([one], "dispatch")
        assert (one.woken, two.woken) == (1, 1)


async def test_a_quiet_subscription_is_left_alone(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setattr(subscription, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(subscription, "REDIS_SECONDS", 60.0)
    asked = 0
    ping = subscription.PubSub.ping

    def counted(self: subscription.PubSub) -> object:
        nonlocal asked
        asked += 1
        return ping(self)

    monkeypatch.setattr(subscription.PubSub, "ping", counted)
    async with worker(redis_url) as one:

        async def often() -> bool:
            return asked > 5

        await eventually(often)
        assert one.connections == [True]


async def test_what_is_said_again_within_the_gap_is_said_once_more() -> None:
    sent: list[str] = []

    async def send(name: str) -> None:
        sent.append(name)

    spaced = Spaced(send, gap_seconds=0.05)
    for name in ("one", "two", "one", "one", "two", "one"):
        spaced.give(name)

    async def twice() -> bool:
        return len(sent) == 4

    await eventually(twice)
    assert sent == ["one", "two", "one", "two"]
    spaced = Spaced(send, gap_seconds=3600)
    for name in ("three", "three", "three"):
        spaced.give(name)
    await spaced.flush(60)
    assert sent[4:] == ["three", "three"]
