"""Workers are killed in a loop while events go to receivers that answer as they please: every event arrives at least once,
or is listed as exhausted; what arrives twice has the same id and the same bytes."""

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.core.redis.doorbell import Doorbell
from tests.chaos.form import Form
from tests.conftest import NewDatabase
from tests.doubles.raw_server import Peer
from tests.doubles.receiver import Received, Receiver, Reply, receiving, says
from tests.factories.jobs import wrong
from tests.gateway import Gateway, Process, eventually, opened_gateway

RECEIVERS = 4
SPEED = 50.0
SILENCE_SECONDS = 30.0
IMPATIENT = {"UNKNOWN_MAX_SECONDS": "2"}
"""A worker that dies while it submits leaves a job whose submission is unknown, for an hour by default. It has to end,
and to be told of, while the test looks on."""


def moody(chance: random.Random, told: Counter[str], secret: str) -> Reply:
    """200, 500, a reset, or silence; and look at the signature while it is fresh."""

    async def reply(received: Received, peer: Peer) -> None:
        told["forged"] += not received.verified_by(secret)
        mood = chance.choices(["200", "500", "reset", "silence"], [70, 15, 13, 2])[0]
        told[mood] += 1
        if mood == "200":
            await says("200 OK")(received, peer)
        elif mood == "500":
            await says("500 Internal Server Error")(received, peer)
        elif mood == "reset":
            peer.reset()
        else:
            await asyncio.sleep(SILENCE_SECONDS)

    return reply


@contextlib.asynccontextmanager
async def killed_again_and_again(gateway: Gateway, chance: random.Random) -> AsyncIterator[list[int]]:
    """A worker that is killed every second or so and at once replaced; the processes that were killed."""
    killed: list[int] = []
    started: list[Process] = []
    log = gateway.directory / "killed.log"

    async def loop() -> None:
        while True:
            started.append(Process("worker", env=gateway.settings(**IMPATIENT), log=log))
            await asyncio.sleep(chance.uniform(2.0, 4.0))
            started[-1].kill()
            killed.append(started[-1].pid)

    task = asyncio.create_task(loop())
    try:
        yield killed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        started[-1].kill()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_nothing_is_lost_while_workers_die(
    form: Form, new_database: NewDatabase, redis_url: str, tmp_path: Path
) -> None:
    events, kills = form.pick((200, 5), (1000, 20))
    chance, told = form.chance(), Counter[str]()
    async with contextlib.AsyncExitStack() as stack:
        opened = opened_gateway(
            database_url=await new_database(), redis_url=redis_url, directory=tmp_path, apis=1, speed=SPEED
        )
        gateway, [listener] = await stack.enter_async_context(opened)
        await stack.enter_async_context(gateway.worker(**IMPATIENT))
        await stack.enter_async_context(gateway.api(listener))
        tenant = await gateway.tenant()
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers, timeout=60)
        )
        secret = (await client.get("/api/v1/webhook-secret")).json()["secret"]
        reply = moody(chance, told, secret)
        receivers = [await stack.enter_async_context(receiving(reply)) for _ in range(RECEIVERS)]
        async with killed_again_and_again(gateway, chance) as killed:
            for number in range(events):
                headers = {"X-Webhook-Url": receivers[number % RECEIVERS].url}
                answer = await client.post("/v2/sim-instant", json={"n": number}, headers=headers)
                assert answer.status_code == 200, answer.text
                if number % 20 == 0:
                    await hurry(gateway)
            await eventually(lambda: enough(killed, kills, gateway), seconds=120, gap_seconds=0.3)
        await eventually(lambda: settled(gateway, events), seconds=240, gap_seconds=0.3)
        await assert_all_arrived(gateway, receivers, events)
        assert told["forged"] == 0
        assert await wrong(gateway.database) == {}
        print(f"{events} events, {sum(told.values())} POSTs {dict(told)}, {len(killed)} kills")
        assert len(killed) >= kills


async def hurry(gateway: Gateway) -> None:
    """Let the time of all retries come, and ring: an idle worker looks by itself only once a minute."""
    moved = "UPDATE webhook_deliveries SET due_at = now() WHERE status = 'pending' AND due_at > now() RETURNING id"
    if await gateway.sql(moved):
        doorbell = Doorbell(gateway.redis_url)
        doorbell.ring("deliver")
        await doorbell.close()


async def enough(killed: list[int], kills: int, gateway: Gateway) -> bool:
    await hurry(gateway)
    return len(killed) >= kills


async def settled(gateway: Gateway, events: int) -> bool:
    await hurry(gateway)
    rows = await gateway.sql("SELECT count(*) FROM webhook_deliveries WHERE status IN ('delivered', 'exhausted')")
    return int(rows[0]["count"]) == events


async def assert_all_arrived(gateway: Gateway, receivers: list[Receiver], events: int) -> None:
    """By the receivers' own books."""
    arrived: dict[str, set[bytes]] = defaultdict(set)
    for receiver in receivers:
        for received in receiver.received:
            arrived[received.id].add(received.body)
    rows = await gateway.sql("SELECT event_id, status FROM webhook_deliveries")
    assert len(rows) == events
    assert {len(bodies) for bodies in arrived.values()} == {1}
    missing = [row for row in rows if row["status"] == "delivered" and f"evt_{row['event_id'].hex}" not in arrived]
    assert missing == []
    never = [row for row in rows if f"evt_{row['event_id'].hex}" not in arrived]
    assert all(row["status"] == "exhausted" for row in never)
