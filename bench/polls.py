"""What a poll costs and how punctual it is: `python -m bench.polls`.

client     CPU of this process for one `UpstreamClient.poll`, by polls on the wire, against a trivial server
store      CPU of Postgres and of this process to claim a due poll and to record a quiet one, by group size
burst      10,000 polls due at one instant: how long until the last one is claimed
lateness   10,000 jobs on one worker process, each due every 15 s: how much later than due the upstream is asked
"""

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import uvloop

from app.core.database.db import Database
from app.core.ids import new_id
from app.jobs.claiming.claims import claim_running
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import PollRecord, record_polls
from app.jobs.estimates.schedule import GAP_SECONDS_MAX
from app.jobs.models import State
from app.upstream.client import UpstreamClient
from app.upstream.wire import OutcomeKind
from bench.cpu import cpu_seconds
from bench.quiet_server import quiet_server
from bench.stand import Stand, query, stand_on
from bench.table import Table, percentile

HEADINGS = ("what", "of", "CPU us", "postgres us", "p50 ms", "p99 ms", "per second")
JOBS = 10_000

_INSERT = """
INSERT INTO jobs (id, tenant_id, surface, model, state, created_at, due_at, attempt, upstream_id, submitted_at)
SELECT gen_random_uuid(), (SELECT min(id::text)::uuid FROM tenants), 'segmind', 'bench-model', 'running', now(),
    now() + make_interval(secs => $2 * random()), 1, md5(random()::text), now() - interval '40 minutes'
FROM generate_series(1, $1)
"""


async def client(table: Table, url: str, connections: int, seconds: float) -> None:
    """One row."""
    upstream = UpstreamClient(url=url, api_key="k", submit_connections_max=1, poll_connections_max=connections)
    polls, until = 0, float("inf")

    async def ask() -> None:
        nonlocal polls
        while time.perf_counter() < until:
            outcome = await upstream.poll("47411f110c6fa4fe05dcb9ffed2c1962")
            assert outcome.kind is OutcomeKind.RUNNING
            polls += 1

    await asyncio.gather(*(upstream.poll("a") for _ in range(connections)))  # all connections open first
    cpu_at, at = time.process_time(), time.perf_counter()
    until = at + seconds
    await asyncio.gather(*(ask() for _ in range(connections)))
    used, took = time.process_time() - cpu_at, time.perf_counter() - at
    await upstream.close()
    table.row({"what": "client", "of": connections, "CPU us": used / polls * 1e6, "per second": polls / took})


@asynccontextmanager
async def _jobs(on: Stand, *, due_within_seconds: float) -> AsyncIterator[Database]:
    """JOBS running ones, gone on exit."""
    database = await Database.open(on.database_url, name="bench", writers_max=1, readers_max=1)
    await query(on.database_url, _INSERT, JOBS, due_within_seconds)
    try:
        yield database
    finally:
        await query(on.database_url, "TRUNCATE jobs, job_results, job_events, upstream_exchanges")
        await database.close()


def _quiet(row: object, due_seconds: float) -> PollRecord:
    step = Step(State.RUNNING, "still_running", due_seconds)
    return PollRecord(row["id"], row["fence"], step, None, None, None, 0, ())  # type: ignore[index]


async def store(table: Table, on: Stand, group: int) -> None:
    """A row each for claims and records."""
    owner, rounds = new_id(), 5000 // group
    spent = {"claim": [0.0, 0.0], "record": [0.0, 0.0]}

    def clocks() -> tuple[float, float, float]:
        ended = time.process_time()
        there = cpu_seconds(on.parts["postgres"])
        return ended, there, time.process_time()

    async with _jobs(on, due_within_seconds=0) as database:
        for number in range(rounds + 20):
            clocked = [clocks()]
            async with database.transaction() as session:
                rows = (await claim_running(session, owner=owner, reads_max=group, lease_seconds=60)).rows
            clocked.append(clocks())
            async with database.statement() as session:
                await record_polls(session, records=[_quiet(row, 60.0) for row in rows])
            clocked.append(clocks())
            if number >= 20:  # by then every plan is cached
                for what, before, after in zip(spent, clocked, clocked[1:], strict=False):
                    spent[what][0] += after[0] - before[2]
                    spent[what][1] += after[1] - before[1]
    for what, (here, there) in spent.items():
        done = rounds * group
        table.row({"what": what, "of": group, "CPU us": here / done * 1e6, "postgres us": there / done * 1e6})


async def burst(table: Table, on: Stand) -> None:
    """One row."""
    async with _jobs(on, due_within_seconds=0) as database:
        began_at, claimed = time.perf_counter(), 0
        while claimed < JOBS:
            async with database.transaction() as session:
                claimed += len((await claim_running(session, owner=new_id(), reads_max=256, lease_seconds=60)).rows)
        took = time.perf_counter() - began_at
    table.row({"what": "burst", "of": JOBS, "p99 ms": took * 1e3, "per second": JOBS / took})


async def lateness(table: Table, on: Stand, seen: Callable[[], dict[bytes, list[float]]], seconds: float) -> None:
    """One row."""
    async with _jobs(on, due_within_seconds=GAP_SECONDS_MAX):
        await asyncio.sleep(GAP_SECONDS_MAX)
        seen()
        before = on.usage()
        await asyncio.sleep(seconds)
        used = on.usage().since(before).parts
        polled = seen()
    late = [
        (later - earlier - GAP_SECONDS_MAX) * 1e3 for times in polled.values() for earlier, later in pairwise(times)
    ]
    polls = sum(len(times) for times in polled.values())
    table.row(
        {
            "what": "lateness", "of": JOBS, "CPU us": used["worker"] / polls * 1e6,
            "postgres us": used["postgres"] / polls * 1e6, "p50 ms": percentile(late, 0.5),
            "p99 ms": percentile(late, 0.99), "per second": polls / seconds,
        }
    )  # fmt: skip


async def run(given: argparse.Namespace) -> None:
    table = Table(HEADINGS)
    with quiet_server() as (url, pid, seen):
        if "client" in given.only:
            for connections in (20, 200, 500):
                await client(table, url, connections, given.seconds)
        if given.only == ["client"]:
            return
        async with stand_on(url, pid) as on:
            if "lateness" in given.only:
                await lateness(table, on, seen, 2.5 * GAP_SECONDS_MAX)
            for worker in on.parts["worker"]:
                os.kill(worker, 19)  # the rest is done in its place
            for group in (10, 50, 200) if "store" in given.only else ():
                await store(table, on, group)
            if "burst" in given.only:
                await burst(table, on)
            for worker in on.parts["worker"]:
                os.kill(worker, 18)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = ["client", "lateness", "store", "burst"]
    parser.add_argument("--only", nargs="+", choices=everything, default=everything)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each client row")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
