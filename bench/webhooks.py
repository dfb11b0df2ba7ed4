"""Webhooks with everything on this machine: how many a second one worker delivers, how soon after a job's end the first POST
comes, and what a receiver that never answers does to the others."""

import argparse
import asyncio
import json
import os
import statistics
import time
import urllib.request
from collections.abc import Callable
from uuid import UUID

from app.core.config.settings import PREFIX
from app.core.database.db import Database
from app.core.ids import find_id
from app.core.redis.doorbell import Doorbell
from app.webhooks.emit import emit_tenant_event
from app.webhooks.models import EventType
from bench.stand import SHORT, Stand, load, query, stand
from bench.table import Table, percentile
from bench.webhook_receiver import Arrivals, receivers

ENDPOINTS = 20
GIVE_UP_SECONDS = 300.0

Arrived = Callable[[], Arrivals]


async def endpoint(on: Stand, key: str, url: str) -> UUID:
    """A new endpoint of the tenant with this key."""

    def ask() -> UUID:
        request = urllib.request.Request(
            f"{on.url}/api/v1/webhook-endpoints",
            json.dumps({"url": url}).encode(),
            {"content-type": "application/json", "x-api-key": key},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            made = find_id("whe", json.load(answer)["id"])
            assert made is not None
            return made

    return await asyncio.to_thread(ask)


class Emitter:
    """Events of tenants, as the engine writes them, but without jobs."""

    def __init__(self, on: Stand, database: Database) -> None:
        self._database = database
        self._doorbell = Doorbell(on.redis_url)
        self._tenants: dict[UUID, UUID] = {}

    async def emit(self, endpoints: list[UUID], number: int) -> None:
        """So many to each, in one transaction; and ring."""
        async with self._database.transaction() as session:
            for endpoint_id in endpoints:
                if endpoint_id not in self._tenants:
                    sql = "SELECT tenant_id FROM webhook_endpoints WHERE id = $1"
                    self._tenants[endpoint_id] = await session.fetchval(sql, endpoint_id)
                for _ in range(number):
                    await emit_tenant_event(
                        session,
                        tenant_id=self._tenants[endpoint_id],
                        type_=EventType.WEBHOOK_TEST,
                        data={"text": "x" * 1000},
                        endpoint_id=endpoint_id,
                    )
        self._doorbell.ring("deliver")

    async def close(self) -> None:
        """Let go of the bell."""
        await self._doorbell.close()


async def until_arrived(arrived: Arrived, number: int) -> Arrivals:
    """All that has arrived, once there is as much."""
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    while len(found := await asyncio.to_thread(arrived)) < number:
        assert time.monotonic() < give_up_at, f"{len(found)} of {number} arrived"
        await asyncio.sleep(0.05)
    return found


async def measure_rate(on: Stand, database: Database, live: str, arrived: Arrived, number: int) -> None:
    """Deliveries a second of a backlog."""
    emitter = Emitter(on, database)
    endpoints = [await endpoint(on, key, live) for key in on.keys[:ENDPOINTS]]
    async with database.statement() as session:  # until all are there, nobody is sent any
        await session.execute("UPDATE webhook_targets SET open_until = now() + interval '1 hour', succeeded_at = now()")
    for _ in range(10):
        await emitter.emit(endpoints, number // ENDPOINTS // 10)
    before, usage = len(await asyncio.to_thread(arrived)), on.usage()
    async with database.statement() as session:
        await session.execute("UPDATE webhook_targets SET open_until = NULL")
    began_at = time.time()
    await emitter.emit(endpoints[:1], 1)
    found = await until_arrived(arrived, before + number)
    seconds = max(found.values()) - began_at
    spent = on.usage().since(usage).parts
    table = Table(["deliveries", "seconds", "a second", "us worker", "us postgres"])
    table.row(
        {
            "deliveries": number,
            "seconds": seconds,
            "a second": number / seconds,
            "us worker": spent["worker"] / number * 1e6,
            "us postgres": spent["postgres"] / number * 1e6,
        }
    )
    await emitter.close()


async def measure_delay(on: Stand, live: str, arrived: Arrived, rate: float, seconds: float) -> None:
    """From the transaction that ended a job to its first POST."""
    for key in on.keys:
        await endpoint(on, key, live)
    async with load(on.url, on.keys, SHORT) as generator:
        await generator.tell(rate=rate)
        await asyncio.sleep(15)
        since = time.time()
        await asyncio.sleep(seconds)
        until = time.time()
        await generator.tell(rate=0)
        await asyncio.sleep(3)
    rows = await query(
        on.database_url,
        "SELECT id, extract(epoch FROM created_at)::float8 AS at FROM webhook_events WHERE job_id IS NOT NULL",
    )
    found = await asyncio.to_thread(arrived)
    ended = [row for row in rows if since <= row["at"] < until]
    delays = [found[f"evt_{row['id'].hex}"] - row["at"] for row in ended if f"evt_{row['id'].hex}" in found]
    table = Table(["jobs a second", "ended", "told", "p50 ms", "p99 ms", "max ms"])
    table.row(
        {
            "jobs a second": len(ended) / seconds,
            "ended": len(ended),
            "told": len(delays),
            "p50 ms": percentile(delays, 0.5) * 1000,
            "p99 ms": percentile(delays, 0.99) * 1000,
            "max ms": max(delays, default=0.0) * 1000,
        }
    )


async def one_run(
    on: Stand, emitter: Emitter, arrived: Arrived, live_id: UUID, hole_id: UUID | None, number: int
) -> tuple[float, float]:
    """p50 and p99, in seconds, of events to the live endpoint, 100 a second, as many to the hole beside them."""
    before = len(await asyncio.to_thread(arrived))
    since = time.time()
    for _ in range(number // 10):
        if hole_id is not None:
            await emitter.emit([hole_id], 10)
        await emitter.emit([live_id], 10)
        await asyncio.sleep(0.1)
    found = await until_arrived(arrived, before + number)
    rows = await query(
        on.database_url,
        "SELECT event_id, extract(epoch FROM created_at)::float8 AS at FROM webhook_deliveries"
        " WHERE target_id = $1 AND created_at >= to_timestamp($2)",
        live_id,
        since,
    )
    delays = [found[f"evt_{row['event_id'].hex}"] - row["at"] for row in rows]
    return percentile(delays, 0.5), percentile(delays, 0.99)


async def measure_hole(on: Stand, database: Database, live: str, hole: str, arrived: Arrived, number: int) -> None:
    """Five alternating pairs, alone and beside a receiver that never answers, of the same tenant."""
    emitter = Emitter(on, database)
    live_id = await endpoint(on, on.keys[0], live)
    await one_run(on, emitter, arrived, live_id, None, number // 5)
    table = Table(["pair", "alone p50", "alone p99", "beside p50", "beside p99"])
    ratios: list[tuple[float, float]] = []
    for pair in range(5):
        alone = await one_run(on, emitter, arrived, live_id, None, number)
        hole_id = await endpoint(on, on.keys[0], hole)
        beside = await one_run(on, emitter, arrived, live_id, hole_id, number)
        await query(
            on.database_url,
            "UPDATE webhook_targets SET disabled_at = now(), disabled_reason = 'tenant' WHERE id = $1",
            hole_id,
        )
        ratios.append((beside[0] / alone[0], beside[1] / alone[1]))
        figures = [one * 1000 for one in (*alone, *beside)]
        table.row(
            dict(zip(["pair", "alone p50", "alone p99", "beside p50", "beside p99"], [pair, *figures], strict=True))
        )
        await asyncio.sleep(16)
    p50, p99 = (statistics.median(ratio[at] for ratio in ratios) for at in (0, 1))
    print(f"beside a black hole: p50 {p50:.2f} times, p99 {p99:.2f} times of alone (median of five pairs)")
    await emitter.close()


async def main(options: argparse.Namespace) -> None:
    """One stand, what is asked for on it."""
    os.environ.setdefault(PREFIX + "WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8")
    with receivers() as (live, hole, _pid, arrived):
        async with stand(SHORT) as on:
            database = await Database.open(on.database_url, name="bench", writers_max=2, readers_max=1)
            try:
                if options.what in ("all", "hole"):
                    await measure_hole(on, database, live, hole, arrived, options.events)
                if options.what in ("all", "delay"):
                    await measure_delay(on, live, arrived, options.rate, options.seconds)
                if options.what in ("all", "rate"):
                    await measure_rate(on, database, live, arrived, options.deliveries)
            finally:
                await database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=["all", "rate", "delay", "hole"], default="all")
    parser.add_argument("--deliveries", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=30)
    asyncio.run(main(parser.parse_args()))
