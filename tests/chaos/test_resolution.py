"""Lost answers under load, kills and pauses, with a history that lags: every one is resolved, and none by guess."""

import asyncio
import contextlib
import random
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import orjson
import pytest

from app.core.crash import RESOLUTION_POINTS
from app.http_client.caller import Caller, Limits
from tests.chaos.armed import Armed
from tests.chaos.form import Form, now_and_then
from tests.chaos.load import ANSWER_SECONDS
from tests.chaos.prove import verify_holds
from tests.chaos.stack import Plan, Stack, running, until_async

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

LOST = [
    {"match": "submit", "fault": "lose_answer", "after": after, "how": "close", "probability": 0.05 / 3}
    for after in ("nothing", "header", "body")
]
NEVER = {"match": "submit", "fault": "close", "probability": 0.02}
REACH_SECONDS = 90.0
"""How long somebody is waited for to come to a point."""
TWINS, SHARED = 0.1, 0.01
"""The shares of submits with an identical one of their own tenant, and with one of another tenant."""

_JOBS = """
SELECT job.id, job.tenant_id, job.state, job.error_code, job.upstream_id, job.attempt, job.withdrawn_at IS NOT NULL AS withdrawn, attempt.outcome,
    attempt.resolution, attempt.contested, extract(epoch FROM attempt.resolved_at - attempt.sent_at) AS seconds,
    convert_from(input.body, 'UTF8')::json -> 'echo' ->> 'marker' AS marker, result.body AS result,
    ARRAY(SELECT upstream_id FROM upstream_observations WHERE job_id = job.id) AS observed
FROM jobs AS job JOIN job_inputs AS input ON input.job_id = job.id
JOIN attempts AS attempt ON attempt.job_id = job.id AND attempt.attempt = job.attempt
LEFT JOIN job_results AS result ON result.job_id = job.id
"""


@dataclass
class Figures:
    """One form's measures. The history lags so long, and each hundredth row by up to `late_seconds` more."""

    submits: int
    per_second: float
    lag_seconds: float
    late_seconds: float
    further_seconds: float

    @property
    def settle_seconds(self) -> float:
        return 1.5 * (self.lag_seconds + self.late_seconds)


@dataclass
class Tenants:
    """Submits of two tenants. One is repeated while it is refused, for as long as the API's processes come and go."""

    stack: Stack
    keys: list[str]
    sent: int = 0
    lost: int = 0
    seconds: float = 0.0
    """What the last `run` took to submit."""

    async def run(self, chance: random.Random, *, submits: int, per_second: float) -> None:
        """Submit so many at that rate."""
        loop = asyncio.get_running_loop()
        began_at, begun = loop.time(), 0
        # httpx's own pool is quadratic in what waits for it
        limits = Limits(ANSWER_SECONDS, ANSWER_SECONDS, ANSWER_SECONDS, 1_000_000)
        caller = Caller(self.stack.url, headers={}, connections_max=200, keep_alive=True, limits=limits)
        try:
            async with asyncio.TaskGroup() as group:
                while begun < submits:
                    if begun >= (loop.time() - began_at) * per_second:
                        await asyncio.sleep(0.5 / per_second)
                        continue
                    body = orjson.dumps({"echo": {"marker": uuid4().hex}})
                    owner = chance.randrange(2)
                    owners = [owner] + [owner] * (chance.random() < TWINS) + [1 - owner] * (chance.random() < SHARED)
                    for one in owners:
                        group.create_task(self._submit(caller, one, body))
                    begun += len(owners)
                self.seconds = loop.time() - began_at
        finally:
            await caller.close()

    async def _submit(self, caller: Caller, owner: int, body: bytes) -> None:
        self.sent += 1
        called = await caller.call("POST", "/v2/sim-echo", body=body, headers={"x-api-key": self.keys[owner]})
        if called.failure is not None:
            self.lost += 1
            return
        assert called.status_code == 200, called.body


async def second_key(stack: Stack) -> str:
    """The key of another tenant, with limits that nobody notices."""
    headers = {"authorization": f"Bearer {stack.ready['admin_key']}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=60) as client:
        wide = {"rate_per_minute": 600_000, "burst": 10_000, "max_in_flight": 10_000, "max_queued": 100_000}
        made = await client.post("/admin/v1/tenants", json={"name": "second"})
        assert made.status_code in (200, 201), made.text
        tenant = made.json()["id"]
        changed = await client.patch(f"/admin/v1/tenants/{tenant}", json=wide)
        assert changed.status_code == 200, changed.text
        await client.post(f"/admin/v1/tenants/{tenant}/credits", json={"amount": "100000", "reference": "chaos"})
        key = await client.post(f"/admin/v1/tenants/{tenant}/keys", json={"name": "chaos"})
        assert key.status_code in (200, 201), key.text
        found: str = key.json()["key"]
        return found


async def _configure(stack: Stack, **changes: Any) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.patch(f"{stack.upstream_url}/_simulator/config", json=changes)
        assert answer.status_code == 200, answer.text


async def _hurt(stack: Stack, chance: random.Random, *, seconds: float) -> None:
    """Kill or pause a worker now and then."""
    async for _ in now_and_then(chance, seconds=seconds, least=4, most=10):
        if chance.random() < 0.5:
            stack.kill("worker", chance=chance)
            continue
        pid = chance.choice(stack.pids("worker"))
        with contextlib.suppress(ProcessLookupError):
            stack.pause_pid(pid)
            await asyncio.sleep(chance.uniform(0.5, 2.5))
            stack.resume_pid(pid)


async def _sent(stack: Stack) -> bool:
    rows = await stack.fetch("SELECT count(*) FROM jobs WHERE state IN ('queued', 'sending')")
    return int(rows[0][0]) == 0


async def _resolved(stack: Stack) -> bool:
    rows = await stack.fetch(
        "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND NOT (state = 'unknown' AND EXISTS ("
        " SELECT FROM attempts WHERE job_id = jobs.id AND attempts.attempt = jobs.attempt AND contested))"
    )
    return int(rows[0][0]) == 0


async def test_every_lost_answer_is_resolved_and_none_by_guess(form: Form) -> None:
    figures = form.pick(Figures(500, 50, 1.0, 4.0, 20), Figures(10_000, 110, 30.0, 180.0, 60))
    chance = form.chance()
    settings = {"HISTORY_SETTLE_SECONDS": f"{figures.settle_seconds:g}"}
    async with running(Plan(workers=2, apis=1, settings=settings, history=True)) as stack:
        tenants = Tenants(stack, [stack.api_key, await second_key(stack)])
        await _configure(
            stack, history_lag_seconds=figures.lag_seconds, history_late_probability=0.01,
            history_late_seconds=figures.late_seconds, history_adds_defaults=True,
        )  # fmt: skip
        await stack.faults(NEVER, *LOST)
        seconds = figures.submits / figures.per_second
        await asyncio.gather(
            tenants.run(chance, submits=figures.submits, per_second=figures.per_second),
            _hurt(stack, random.Random(form.seed), seconds=seconds),
        )
        await until_async(lambda: _sent(stack), "every job is sent, with the faults in force", 600)
        await stack.faults()
        further = Tenants(stack, tenants.keys)
        await further.run(chance, submits=int(figures.further_seconds * 5), per_second=5)
        took = await until_async(lambda: _resolved(stack), "every job is resolved or contested", 1200)
        jobs = await stack.fetch(_JOBS)
        started = list(stack.book().facts("started"))
        await verify_holds(stack)
    report = judged(jobs, started)
    print(
        f"submitted in {tenants.seconds:.0f} s, resolved {took:.0f} s after the last: {orjson.dumps(report).decode()}"
    )
    assert report["orphans"] >= figures.submits * 0.03
    assert report["adopted"] >= 0.99 * (report["orphans"] - report["contested_orphans"] - report["late"])


def judged(jobs: list[asyncpg.Record], started: list[dict[str, Any]], *, given_back: bool = False) -> dict[str, Any]:
    """Compare what became of the jobs with what the upstream did. `given_back`: some answers named the requests of others, which is
    no violation of ours. Raises AssertionError."""
    by_marker: dict[str, list[asyncpg.Record]] = defaultdict(list)
    for job in jobs:
        by_marker[job["marker"]].append(job)
    runs: dict[str, set[str]] = defaultdict(set)
    for run in started:
        runs[orjson.loads(run["body"])["echo"]["marker"]].add(run["request_id"])
    owners = Counter(job["upstream_id"] for job in jobs if job["upstream_id"] is not None)
    assert all(number == 1 for number in owners.values()), "an id has two owners"
    orphans = contested_orphans = late = 0
    for marker, made in by_marker.items():
        ids = runs[marker]
        assert len(ids) <= len(made), f"doubled upstream: {marker}"
        known = {job["upstream_id"] for job in made} | {one for job in made for one in job["observed"]}
        if given_back and not known - {None} <= ids:
            continue
        assert known - {None} <= ids, f"another's request: {made}"
        doubtful = [job for job in made if job["outcome"] == "unknown" or job["resolution"] is not None]
        tenants = {job["tenant_id"] for job in doubtful}
        adopted = [job for job in doubtful if job["resolution"] == "adopted"]
        assert not (adopted and len(tenants) > 1), f"adopted by guess across tenants: {doubtful}"
        left = ids - known
        orphans += len(adopted) + len(left)
        if left and len(tenants) > 1:
            contested_orphans += len(left)
        elif left:
            absent = [job for job in doubtful if job["resolution"] == "proven_absent"]
            assert given_back or not absent, f"a wrong refund: {left} was made by one of {absent}"
        late += sum(job["resolution"] == "timed_out" for job in doubtful)
        for job in made:
            if job["state"] == "completed" and not job["withdrawn"]:
                assert marker.encode() in job["result"], f"another's result: {job}"
    seconds = sorted(float(job["seconds"]) for job in jobs if job["resolution"] == "adopted")
    proofs = sorted(float(job["seconds"]) for job in jobs if job["resolution"] == "proven_absent")
    return {
        "jobs": len(jobs),
        "states": dict(Counter(job["state"] for job in jobs)),
        "resolutions": dict(Counter(str(job["resolution"]) for job in jobs if job["outcome"] == "unknown" or job["resolution"])),
        "orphans": orphans,
        "adopted": len(seconds),
        "contested_orphans": contested_orphans,
        "late": late,
        "adopted_after_seconds": _spread(seconds),
        "absent_after_seconds": _spread(proofs),
    }  # fmt: skip


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {
        "median": round(statistics.median(seconds), 1),
        "p99": round(seconds[int(0.99 * (len(seconds) - 1))], 1),
        "most": round(seconds[-1], 1),
    }


async def test_crash_at_every_point_of_the_resolution(form: Form, tmp_path: Path) -> None:
    """In rounds, each of which has a seed of its own. Every round leads through all points that a lost answer leads through."""
    armed = Armed(tmp_path / "crash.plan")
    settings = {"TEST_CRASH_PLAN": str(armed.path), "HISTORY_SETTLE_SECONDS": "8", "UNKNOWN_MAX_SECONDS": "100"}
    rounds, crashes, missed = form.pick(1, 20), 0, []
    async with running(Plan(workers=2, apis=1, settings=settings, history=True)) as stack:
        keys = [stack.api_key, await second_key(stack)]
        for seed in range(form.seed, form.seed + rounds):
            chance = random.Random(seed)
            for point in chance.sample(RESOLUTION_POINTS, len(RESOLUTION_POINTS)):
                armed.arm(point, how=chance.choice(["kill", "raise"]), skip=0)
                if await _reach(stack, keys, armed, chance, point):
                    crashes += 1
                else:
                    missed.append(point)
                armed.disarm()
            print(f"seed {seed}: {crashes} crashes so far, missed {missed}", flush=True)
        await stack.faults()
        await Tenants(stack, keys).run(chance, submits=60, per_second=15)
        await until_async(lambda: _resolved(stack), "every job is resolved or contested", 300)
        jobs = await stack.fetch(_JOBS)
        started = list(stack.book().facts("started"))
        await verify_holds(stack)
    report = judged(jobs, started, given_back=True)
    print(f"{crashes} crashes at {len(RESOLUTION_POINTS)} points: {orjson.dumps(report).decode()}")
    assert len(missed) <= form.pick(4, rounds), f"never reached: {missed}"


async def _reach(stack: Stack, keys: list[str], armed: Armed, chance: random.Random, point: str) -> bool:
    """Lose answers until somebody has come to the point; whether that was so in time."""
    give_up_at = asyncio.get_running_loop().time() + REACH_SECONDS
    late = point.startswith("late.")
    async with stack.database() as connection:  # as if the late requests of earlier points had been long ago
        await connection.execute("DELETE FROM late_requests")
        await connection.execute("UPDATE history_watch SET resubmits_refuted_at = NULL")
    await _configure(
        stack, history_late_probability=1.0 if late else 0.0, history_late_seconds=40.0, history_lag_seconds=0.2
    )
    while not armed.carried_out() and asyncio.get_running_loop().time() < give_up_at:
        async with httpx.AsyncClient(base_url=stack.url, timeout=ANSWER_SECONDS) as client:
            if point.startswith("evict."):
                await _give_back(stack, client, keys, chance)
                continue
            # nothing is accepted while rows are late: what we know to be late makes proofs wait
            never = [] if late else [{**NEVER, "probability": 0.5}]
            await stack.faults(*never, {**LOST[1], "probability": 1.0 if late else 0.5})
            for number in range(6):
                await _send(client, keys[number % 2], on_unknown="resubmit" if point.startswith("resubmit") else "hold")
            await stack.faults()
            await asyncio.sleep(0.5)
            await _configure(stack, history_late_probability=0.0)
            for _ in range(25):
                await _send(client, keys[0])
            for _ in range(40):
                if armed.carried_out():
                    break
                await asyncio.sleep(0.25)
            if late:
                await _configure(stack, history_late_probability=1.0)
    return armed.carried_out()


async def _send(client: httpx.AsyncClient, key: str, *, on_unknown: str = "hold") -> str | None:
    body = {"model": "sim-echo", "input": {"echo": {"marker": uuid4().hex}}, "on_unknown": on_unknown}
    try:
        answer = await client.post("/api/v1/jobs", json=body, headers={"x-api-key": key})
    except httpx.TransportError:
        return None
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["id"]
    return found


async def _give_back(stack: Stack, client: httpx.AsyncClient, keys: list[str], chance: random.Random) -> None:
    """An answer is lost and its request adopted; then the answer to another submit names that request."""
    await stack.faults({**LOST[1], "probability": 1.0, "count": 1})
    lost = await _send(client, keys[0])
    if lost is None:
        return
    adopted = "SELECT FROM jobs WHERE 'job_' || replace(id::text, '-', '') = $1 AND upstream_id IS NOT NULL"
    await until_async(lambda: stack.fetch(adopted, lost), "the request is adopted", 60)
    await stack.faults({"match": "submit", "fault": "same_id", "count": 1})
    await _send(client, keys[chance.randrange(2)])
    await asyncio.sleep(1.0)
    await stack.faults()
