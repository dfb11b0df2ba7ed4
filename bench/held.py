"""What it costs to know how long a status poll may be held: `python -m bench.held`.

One process notes the polls of so many jobs, each of which is polled once a second, evenly: with Valkey, on a socket of its own,
and without it. CPU of this process and of Valkey for one poll, and how long a poll waits for what is known.
"""

import argparse
import asyncio
import time
from uuid import UUID

import uvloop
from redis.asyncio import Redis

from app.core import clock
from app.core.ids import new_id
from app.core.logs.log import configure_logging
from app.segmind.steady import PREFIX, SteadyPolls
from bench.cpu import cpu_seconds
from bench.table import Table, percentile
from bench.valkey import kill, own_valkey

HEADINGS = ("valkey", "jobs", "polls/s", "us each", "valkey us", "p50 ms", "p99 ms")
TICK_SECONDS = 0.001


async def measure(table: Table, polls: SteadyPolls, pid: int | None, jobs: int, seconds: float, *, what: str) -> None:
    """One row."""
    key_id, number, waits = new_id(), 0, list[float]()
    asked = set[asyncio.Task[None]]()

    async def poll(job_id: UUID) -> None:
        at = clock.monotonic()
        poll = await polls.arrived(key_id, job_id, arrived_at=at)
        waits.append(clock.monotonic() - at)
        polls.answered(poll)

    theirs = cpu_seconds([pid]) if pid is not None else 0.0
    began_at, cpu = time.perf_counter(), time.process_time()
    while (now := time.perf_counter() - began_at) < seconds:
        while number < now * jobs:
            task = asyncio.create_task(poll(UUID(int=number % jobs)))
            asked.add(task)
            task.add_done_callback(asked.discard)
            number += 1
        await asyncio.sleep(max(TICK_SECONDS, number / jobs - now))
    while asked:
        await asyncio.wait(list(asked))
    elapsed, used = time.perf_counter() - began_at, time.process_time() - cpu
    row: dict[str, object] = {"valkey": what, "jobs": jobs, "polls/s": number / elapsed, "us each": used / number * 1e6}
    row |= {"p50 ms": percentile(waits, 0.5) * 1e3, "p99 ms": percentile(waits, 0.99) * 1e3}
    if pid is not None:
        row["valkey us"] = (cpu_seconds([pid]) - theirs) / number * 1e6
    table.row(row)


async def bytes_each(url: str) -> float:
    """The memory of a job's times in Valkey."""
    async with Redis.from_url(url) as redis:
        keys = [key async for key in redis.scan_iter(f"{PREFIX}*", count=1_000)][:1_000]
        return sum([await redis.memory_usage(key) for key in keys]) / len(keys)


async def run(given: argparse.Namespace) -> None:
    configure_logging(format="console", level="ERROR")
    table = Table(HEADINGS)
    async with own_valkey() as valkey:
        polls = SteadyPolls(valkey.url)
        for jobs in given.jobs:
            await measure(table, polls, valkey.pid, jobs, given.seconds, what="there")
        print(f"bytes of a job's times: {await bytes_each(valkey.url):.0f}")
        await kill(valkey)
        for jobs in given.jobs:
            await measure(table, polls, None, jobs, given.seconds, what="away")
        await polls.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="*", default=[100, 1_000, 10_000])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each row")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
