"""The upstream is away for ten minutes under thousands of running jobs; time is scaled, its hour too.

Their runs are put into the simulator's book, and the jobs into the database as their submits would have left them.
"""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest

from app.core.database.db import Database
from app.simulator.book import Book, hash_object
from app.simulator.config import SimulatorConfig
from app.simulator.profiles import find_profile
from app.simulator.runs import draw_run, to_fact
from tests.chaos.form import Form
from tests.factories.callers import make_caller
from tests.factories.jobs import Engine, wrong
from tests.gateway import Gateway, eventually
from tests.servers import Urls, create_database, drop_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MODEL = "outage-model"
CHUNK = 2_500
KINDS = ("status", "result", "submit", "credits")

# As if each had been accepted so many seconds ago.
_RUNNING = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::double precision[]) AS t (id, upstream_id, age_seconds)
), moved AS (
    UPDATE jobs SET
        state = 'running', ready = false, revision = 3, attempt = 1, fence = 1, upstream_id = asked.upstream_id,
        upstream_state = 'QUEUED', created_at = now() - make_interval(secs => asked.age_seconds),
        sent_at = now() - make_interval(secs => asked.age_seconds),
        submitted_at = now() - make_interval(secs => asked.age_seconds), due_at = now()
    FROM asked WHERE jobs.id = asked.id
    RETURNING jobs.id, jobs.tenant_id, jobs.key_id, jobs.upstream_id, jobs.sent_at
), opened AS (
    INSERT INTO attempts (job_id, attempt, worker, sent_at, settled_at, outcome, upstream_id)
    SELECT id, 1, gen_random_uuid(), sent_at, sent_at, 'accepted', upstream_id FROM moved
), events AS (
    INSERT INTO job_events (job_id, seq, from_state, to_state, reason)
    SELECT id, 2, 'queued', 'sending', 'sending' FROM moved UNION ALL SELECT id, 3, 'sending', 'running', 'accepted' FROM moved
)
UPDATE queues SET queued = queued - count.jobs, ready = ready - count.jobs, in_flight = in_flight + count.jobs
FROM (SELECT tenant_id, count(*)::integer AS jobs FROM moved GROUP BY tenant_id) AS count
WHERE queues.subject_id = count.tenant_id
"""


def write_book(path: Path, jobs: int, *, spread_seconds: float, run_seconds: float) -> dict[str, float]:
    """A book in which so many runs have begun, the oldest one `spread_seconds` ago; their ids and ages."""
    config = SimulatorConfig(speed=24.0 / run_seconds, queue_mean_seconds=0.1)
    profile = find_profile(MODEL, config)
    assert profile is not None
    ages = {uuid4().hex: spread_seconds * (1 - place / jobs) for place in range(jobs)}
    hashed = hash_object(b"{}")
    now = time.time()
    lines = []
    for place, (upstream_id, age) in enumerate(ages.items(), start=1):
        run = draw_run(profile, config, request_id=upstream_id, now=now - age, body=b"{}", key="9999")
        hashes = {"body_sha256": hashed.exact, "canonical_sha256": hashed.canonical}
        lines.append(
            orjson.dumps({"sequence": place, "at": now - age, "fact": "started", **hashes, **to_fact(run)}) + b"\n"
        )
    path.write_bytes(b"".join(lines))
    assert len(Book.read(path)) == jobs
    return ages


async def run_jobs(database: Database, ages: dict[str, float]) -> None:
    """A job for each of these runs."""
    caller = await make_caller(database, credits_micro=10**13)
    async with database.statement() as session:
        await session.execute("UPDATE tenants SET max_queued = 1000000 WHERE id = $1", caller.tenant.id)
    job_ids: list[UUID] = []
    for done in range(0, len(ages), CHUNK):
        job_ids += await Engine(database).submit(caller, min(CHUNK, len(ages) - done), model=MODEL)
    async with database.statement() as session:
        await session.execute(_RUNNING, job_ids, list(ages), list(ages.values()))


def most_in(seconds: list[dict[str, int]], window_seconds: int) -> int:
    """The most requests in any run of so many seconds."""
    counts = {one["second"]: sum(number for kind, number in one.items() if kind in KINDS) for one in seconds}
    return max(sum(counts.get(begin + place, 0) for place in range(window_seconds)) for begin in counts)


async def test_results_are_saved_after_an_outage(servers: Urls, redis_url: str, tmp_path: Path, form: Form) -> None:
    """Ten minutes away in an hour of sixty: the oldest results first, never above the budget, all of them saved."""
    jobs, hour_seconds, per_second = form.pick((1_000, 60.0, 60), (20_000, 360.0, 200))
    outage_seconds = hour_seconds / 6
    name = f"test_{uuid4().hex}"
    url = await create_database(servers.database, name, template=servers.template)
    gateway = Gateway(database_url=url, redis_url=redis_url, directory=tmp_path)
    gateway.urls.append("http://127.0.0.1:1")
    async with contextlib.AsyncExitStack() as stack:
        gateway.database = await Database.open(url, name="tests", writers_max=2, readers_max=2)
        stack.push_async_callback(gateway.database.close)
        ages = write_book(gateway.book_path, jobs, spread_seconds=hour_seconds * 0.5, run_seconds=outage_seconds / 4)
        gateway.upstream_url = await stack.enter_async_context(gateway.simulator(speed=1.0))
        await run_jobs(gateway.database, ages)
        upstream = await stack.enter_async_context(httpx.AsyncClient(base_url=gateway.upstream_url, timeout=30))
        assert (await upstream.patch("/_simulator/config", json={"retention_seconds": hour_seconds})).is_success
        await upstream.put("/_simulator/faults", json=[{"match": "any", "fault": "answer", "status": 503}])
        for _ in range(form.pick(1, 2)):
            await stack.enter_async_context(gateway.worker(UPSTREAM_RPM=str(60 * per_second)))
        await asyncio.sleep(outage_seconds)
        # a worker on a busy machine may take some of that time to start: the upstream then remembers longer by as much
        unavailable = "SELECT FROM ops.upstream_now WHERE paused_reason = 'unavailable'"
        slow_since = time.monotonic()
        await eventually(lambda: gateway.sql(unavailable))
        slow_seconds = time.monotonic() - slow_since
        longer = {"retention_seconds": hour_seconds + slow_seconds}
        assert (await upstream.patch("/_simulator/config", json=longer)).is_success
        away: dict[str, Any] = (await upstream.get("/_simulator/stats")).json()
        await upstream.delete("/_simulator/faults")
        began_at = time.monotonic()

        async def all_ended() -> bool:
            return not await gateway.sql("SELECT FROM jobs WHERE state = 'running' LIMIT 1")

        await eventually(all_ended, gap_seconds=1.0)
        took = time.monotonic() - began_at
        stats: dict[str, Any] = (await upstream.get("/_simulator/stats")).json()
        rows = await gateway.sql("SELECT state, error_code, count(*) AS n FROM jobs GROUP BY 1, 2")
        ended = {(row["state"], row["error_code"]): row["n"] for row in rows}
        minute, second = most_in(stats["seconds"], 60), most_in(stats["seconds"], 1)
        print(
            f"{jobs} jobs, away for {outage_seconds:.0f} s of an hour of {hour_seconds:.0f} s: asked {away['requests']} meanwhile;"
            f" all asked about {took:.1f} s after, at most {minute} a minute and {second} a second of {60 * per_second} and"
            f" {per_second}: {ended}"
        )
        assert ended == {("completed", None): jobs}
        assert minute <= 60 * per_second
        assert second <= 1.3 * per_second + 5
        assert sum(away["requests"].get(kind, 0) for kind in KINDS) <= 5 * (outage_seconds + slow_seconds) + 100
        assert not await wrong(gateway.database)
    await drop_database(servers.database, name)
