"""Does a backlog weigh? Accepting and sending with next to nothing queued, and with a million: `python -m bench.backlog`.

Two stacks beside each other, with ten thousand tenants each; on one of them a million jobs wait in those tenants' lines,
and fifty thousand more in the line of one that is blocked by its own limit. Windows are taken on the two in turn, and what
counts is the median ratio of CPU of these pairs. Accepting is measured through the API, its CPU and Postgres's together;
sending by the engine's own three statements (claim, open, record) without an upstream, this process's and Postgres's
together, with no worker beside it.
"""

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median
from uuid import UUID

import uvloop

from app.core.database.db import Database
from app.core.ids import new_id
from app.jobs.claiming.claims import open_attempts
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import SubmitRecord, record_submits
from app.jobs.claiming.turns import claim_queued
from app.jobs.models import State
from app.upstream.wire import Outcome, OutcomeKind, UpstreamState
from bench.load import PADDING
from bench.stand import MODEL, SHORT, Load, Runs, Stand, load, query, stand
from bench.table import Table, percentile

HEADINGS = ("what", "queued", "number", "per second", "p50 ms", "p99 ms", "own us", "postgres us", "cpu us")
CHUNK = 50_000
NEVER = Runs(mean_seconds=1e6, sigma=0.1)
"""When the load asks for results: there will be none."""
LEASE_SECONDS = 60.0

_TENANTS = """
INSERT INTO tenants (id, name, max_in_flight, max_queued)
SELECT gen_random_uuid(), 'backlog-' || n, 100000, 1000000 FROM generate_series(1, $1) AS n
"""
_BLOCKED = """
INSERT INTO tenants (id, name, max_in_flight, max_queued) VALUES (gen_random_uuid(), 'blocked', 0, 1000000)
"""
# Jobs as they wait, of tenants in turn.
_FILL = """
WITH made AS (
    SELECT uuidv7(-n * interval '1 ms') AS id, n, owners.ids[1 + n % cardinality(owners.ids)] AS tenant_id,
        now() - n * interval '1 ms' AS created_at
    FROM generate_series(1, $1::bigint) AS n,
        (SELECT array_agg(id) AS ids FROM tenants WHERE name LIKE $2) AS owners
), inputs AS (
    INSERT INTO job_inputs (job_id, body)
    SELECT id, convert_to(json_build_object('prompt', $4::text, 'seed', n, 'steps', 30)::text, 'UTF8') FROM made
), events AS (
    INSERT INTO job_events (job_id, seq, to_state, reason) SELECT id, 1, 'queued', 'submitted' FROM made
)
INSERT INTO jobs (
    id, tenant_id, surface, model, state, created_at, due_at, rank_at, ready, held_micro
)
SELECT id, tenant_id, 'native', $3, 'queued', created_at, created_at, created_at - interval '5 minutes', true, 100000
FROM made
"""
_COUNT = """
UPDATE queues SET queued = counted.jobs, ready = counted.jobs
FROM (SELECT tenant_id, count(*) AS jobs FROM jobs WHERE ready GROUP BY tenant_id) AS counted
WHERE queues.subject_id = counted.tenant_id
"""


async def fill(on: Stand, jobs: int, tenants: int, blocked: int) -> None:
    """The backlog, counted; then ANALYZE, as autovacuum would have done on the way."""
    began_at = time.monotonic()
    await query(on.database_url, _TENANTS, tenants)
    await query(on.database_url, _BLOCKED)
    for done in range(0, jobs, CHUNK):
        await query(on.database_url, _FILL, min(CHUNK, jobs - done), "backlog-%", MODEL, PADDING)
    await query(on.database_url, _FILL, blocked, "blocked", MODEL, PADDING)
    await query(on.database_url, _COUNT)
    await query(on.database_url, "VACUUM (ANALYZE) jobs, job_inputs, job_events, queues, tenants, balances")
    print(f"{jobs + blocked:,} jobs queued in {time.monotonic() - began_at:.0f} s")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two stacks, with who loads it and a connection that sends."""

    on: Stand
    generator: Load
    database: Database
    owner: UUID

    async def queued(self) -> str:
        """How many jobs wait, for people."""
        [[number]] = await query(
            self.on.database_url, "SELECT sum(queued)::bigint FROM queues WHERE subject_id = tenant_id"
        )
        return f"{number or 0:,}"


@asynccontextmanager
async def side() -> AsyncIterator[Side]:
    """A stack whose limits bind nowhere."""
    async with AsyncExitStack() as entered:
        on = await entered.enter_async_context(stand(SHORT, workers=0))
        generator = await entered.enter_async_context(load(on.url, on.keys, NEVER))
        database = await Database.open(on.database_url, name="bench", writers_max=1, readers_max=1)
        entered.push_async_callback(database.close)
        await query(on.database_url, "UPDATE upstream_state SET rate = 1000000, ease_rate = 1000000")
        yield Side(on, generator, database, new_id())


async def prepare(one: Side, *, jobs: int, tenants: int, blocked: int) -> None:
    """As it is after hours of work: pages written since the checkpoint, tables analyzed, plans made for what they hold."""
    url = one.on.database_url
    await fill(one.on, jobs, tenants, blocked)
    await query(url, "CHECKPOINT")
    # the first touch of a page after a checkpoint writes all of it to the log: let each tenant have a turn before we look
    await accept(None, one, 300, 10)
    await send(None, one, max(2000, tenants if jobs else 0), most=64)
    await query(url, "VACUUM (ANALYZE)")
    await send(None, one, 640, most=64)


async def accept(table: Table | None, one: Side, rate: float, seconds: float) -> float:
    """Submits through the API; gives the CPU of one, in microseconds."""
    before_queued = await one.queued()
    await one.generator.tell(rate=rate)
    await asyncio.sleep(2)
    await one.generator.tell(report=True)
    before, began_at = one.on.usage(), time.perf_counter()
    await asyncio.sleep(seconds)
    seen = await one.generator.tell(report=True)
    elapsed = time.perf_counter() - began_at
    used = one.on.usage().since(before).parts
    await one.generator.tell(rate=0)
    assert set(seen["statuses"]) == {"200"}, seen["statuses"]
    return _row(
        table, "accept", before_queued, seen["submits"], elapsed, (seen["submit_p50"], seen["submit_p99"]), used["api"],
        used,
    )  # fmt: skip


async def send(table: Table | None, one: Side, jobs: int, *, most: int) -> float:
    """Jobs claimed, opened and recorded as accepted; gives the CPU of one, in microseconds."""
    before_queued = await one.queued()
    claims: list[float] = []
    done = 0
    before, began_at, own_before = one.on.usage(), time.perf_counter(), time.process_time()
    while done < jobs:
        asked_at = time.perf_counter()
        async with one.database.transaction() as session:
            taken = await claim_queued(session, owner=one.owner, jobs_max=most, lease_seconds=LEASE_SECONDS)
        rows = taken.rows
        claims.append(time.perf_counter() - asked_at)
        assert rows, f"there is more to be sent than this measures: {taken}"
        async with one.database.statement() as session:
            opened = await open_attempts(
                session,
                owner=one.owner,
                claims=[(row.id, row.fence) for row in rows],
                lease_seconds=LEASE_SECONDS,
            )
        step = Step(State.RUNNING, "accepted", 3600.0, upstream_state=UpstreamState.QUEUED)
        records = [
            SubmitRecord(
                job_id, attempt, step, Outcome(OutcomeKind.ACCEPTED, 200, 0.1, "http_200", upstream_id=job_id.hex)
            )
            for (job_id, _fence), attempt in opened.items()
        ]
        async with one.database.statement() as session:
            await record_submits(session, records=records)
        done += len(rows)
    elapsed, own = time.perf_counter() - began_at, time.process_time() - own_before
    used = one.on.usage().since(before).parts
    latency = (percentile(claims, 0.5), percentile(claims, 0.99))
    return _row(table, f"send by {most}", before_queued, done, elapsed, latency, own, used)


def _row(
    table: Table | None,
    what: str,
    queued: str,
    number: int,
    elapsed: float,
    latency: tuple[float, float],
    own: float,
    used: Mapping[str, float],
) -> float:
    cpu_us = (own + used["postgres"]) / number * 1e6
    cells = {
        "what": what,
        "queued": queued,
        "number": number,
        "per second": number / elapsed,
        "p50 ms": latency[0] * 1e3,
        "p99 ms": latency[1] * 1e3,
        "own us": own / number * 1e6,
        "postgres us": used["postgres"] / number * 1e6,
        "cpu us": cpu_us,
    }
    if table is not None:
        table.row(cells)
    return cpu_us


async def measure(table: Table, one: Side, rate: float, seconds: float) -> dict[str, float]:
    """One window of each kind; gives the CPU of one job, by kind."""
    cost = {"accept": await accept(table, one, rate, seconds)}
    for most, share in ((64, 0.6), (4, 0.3)):
        cost[f"send by {most}"] = await send(table, one, int(rate * seconds * share), most=most)
    return cost


async def run(given: argparse.Namespace) -> None:
    ratios: defaultdict[str, list[float]] = defaultdict(list)
    async with side() as empty, side() as full:
        await prepare(empty, jobs=0, tenants=given.tenants, blocked=0)
        await prepare(full, jobs=given.jobs, tenants=given.tenants, blocked=given.blocked)
        table = Table(HEADINGS)
        for number in range(given.pairs):
            cost = {
                one.owner: await measure(table, one, given.rate, given.seconds)
                for one in ((empty, full), (full, empty))[number % 2]
            }
            for what, cpu_us in cost[empty.owner].items():
                ratios[what].append(cost[full.owner][what] / cpu_us)
    for what, found in ratios.items():
        print(
            f"{what}: {median(found):.2f} times the CPU with {given.jobs + given.blocked:,} queued"
            f" (pairs: {', '.join(f'{ratio:.2f}' for ratio in sorted(found))})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="queued ones whose turn may come")
    parser.add_argument("--tenants", type=int, default=10_000, help="whose they are")
    parser.add_argument("--blocked", type=int, default=50_000, help="queued ones of a tenant that may send none")
    parser.add_argument("--pairs", type=int, default=5, help="windows on each of the two stacks")
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each window of submits")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
