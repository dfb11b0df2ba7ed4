"""The one checker: what must hold of a stack after whatever was done to it, from its tables and the upstream's book."""

import asyncio
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from app.core.database.db import Database
from app.jobs.admin.story import get_story
from app.jobs.models import FINAL, TRANSITIONS, State
from app.ops.verify import prove as prove_invariants
from tests.chaos.load import Load, Submit
from tests.chaos.stack import Stack, until_async

RETRIABLE = {"not_sent", "throttled", "account"}
"""Outcomes of an attempt after which, and only after which, there may be another one."""
SETTLE_SECONDS = 120.0

_JOBS = """
SELECT job.*, convert_from(input.body, 'UTF8')::json -> 'echo' ->> 'marker' AS marker, result.body AS result
FROM jobs AS job JOIN job_inputs AS input ON input.job_id = job.id
LEFT JOIN job_results AS result ON result.job_id = job.id
"""


async def settled(stack: Stack, *, unknown: bool = True, seconds: float = SETTLE_SECONDS) -> float:
    """Wait until every job is final, or, where `unknown` is let pass, unknown; the seconds it took."""
    passing = [str(state) for state in FINAL] + (["unknown"] if unknown else [])

    async def done() -> bool:
        rows = await stack.fetch("SELECT count(*) FROM jobs WHERE state <> ALL($1::text[])", passing)
        return int(rows[0][0]) == 0

    return await until_async(done, "every job is settled", seconds)


async def prove(stack: Stack, *loads: Load) -> dict[str, Any]:
    """Settle, then check everything there is; gives the figures of these loads' jobs, and prints them.

    Raises AssertionError.
    """
    settle_seconds = await settled(stack)
    async with (
        stack.database() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),  # an unknown job may end any moment
    ):
        jobs = await connection.fetch(_JOBS)
        attempts = await connection.fetch("SELECT * FROM attempts ORDER BY job_id, attempt")
        events = await connection.fetch("SELECT * FROM job_events ORDER BY job_id, seq")
        observed = await connection.fetch("SELECT * FROM upstream_observations")
        idle = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()"
            " AND state_change < clock_timestamp() - interval '1 second'"
        )
    submits = [submit for load in loads for submit in load.submits]
    _submits_are_truthful(jobs, submits)
    _jobs_are_whole(jobs)
    _attempts_are_single(jobs, attempts)
    _events_are_paths(jobs, events)
    book = stack.book()
    _upstream_agrees(jobs, observed, list(book.facts("started")))
    _costs_agree(jobs, book.charged())
    await verify_holds(stack)
    assert idle == 0, f"{idle} connections idle in transaction"
    markers = {submit.marker for submit in submits}
    own = [job for job in jobs if job["marker"] in markers]
    ids = {job["id"] for job in own}
    await _results_are_served(stack, own)
    figures: dict[str, Any] = {
        "states": dict(Counter(job["state"] for job in own)),
        "codes": dict(Counter(job["error_code"] for job in own if job["error_code"])),
        "attempts": dict(Counter(attempt["outcome"] for attempt in attempts if attempt["job_id"] in ids)),
        "observed": sum(row["job_id"] in ids for row in observed),
        "killed": stack.killed,
        "settle_seconds": round(settle_seconds, 2),
    }
    print("proved", json.dumps({**figures, "loads": [load.figures() for load in loads]}))
    return figures


def _submits_are_truthful(jobs: list[asyncpg.Record], submits: Iterable[Submit]) -> None:
    """Acknowledged: exactly one job, of that id. Refused: none. Lost: one at most."""
    by_marker = defaultdict(list)
    for job in jobs:
        by_marker[job["marker"]].append(f"job_{job['id'].hex}")
    for submit in submits:
        found = by_marker[submit.marker]
        if submit.told == "acknowledged":
            assert found == [submit.request_id], f"acknowledged {submit}, stored {found}"
        elif submit.told == "refused" and submit.key is None:
            assert found == [], f"refused {submit}, yet stored as {found}"
        else:
            assert len(found) <= 1, f"{submit} stored as {found}"
    for submit in submits:
        assert submit.key is None or submit.told == "acknowledged", f"never acknowledged: {submit}"


def _jobs_are_whole(jobs: list[asyncpg.Record]) -> None:
    owners = Counter(job["upstream_id"] for job in jobs if job["upstream_id"] is not None)
    assert all(count == 1 for count in owners.values())
    for job in jobs:
        state = State(job["state"])
        assert (state in FINAL) == (job["finished_at"] is not None), job
        assert state in FINAL or state is State.UNKNOWN, job
        if state is State.COMPLETED:
            assert job["result"], f"completed without a result: {job}"
            assert job["model"] != "sim-echo" or job["marker"].encode() in job["result"], f"another's result: {job}"


def _attempts_are_single(jobs: list[asyncpg.Record], attempts: list[asyncpg.Record]) -> None:
    """One attempt, or several of which all but the last provably did not get there."""
    by_job = defaultdict(list)
    for attempt in attempts:
        by_job[attempt["job_id"]].append(attempt)
    for job in jobs:
        own = by_job[job["id"]]
        if not own and (job["state"] == State.CANCELED or job["error_code"] == "poison"):  # before anybody tried
            continue
        assert own, f"settled without an attempt: {job}"
        assert [one["attempt"] for one in own] == list(range(1, job["attempt"] + 1)), own
        assert all(one["outcome"] in RETRIABLE for one in own[:-1]), f"sent twice: {own}"
        last = own[-1]
        assert last["outcome"] is not None, f"still open: {last}"
        if last["outcome"] == "accepted":
            assert last["upstream_id"] == job["upstream_id"], (last, job)
        if job["state"] == State.UNKNOWN or job["error_code"] == "submission_unknown":
            assert last["outcome"] == "unknown", (last, job)


def _events_are_paths(jobs: list[asyncpg.Record], events: list[asyncpg.Record]) -> None:
    by_job = defaultdict(list)
    for event in events:
        by_job[event["job_id"]].append(event)
    assert len(by_job) == len(jobs)
    for job in jobs:
        path = by_job[job["id"]]
        assert [event["seq"] for event in path] == list(range(1, job["revision"] + 1)), path
        assert path[0]["from_state"] is None, path
        assert path[0]["to_state"] == State.QUEUED, path
        assert path[-1]["to_state"] == job["state"], (path, job)
        for before, event in pairwise(path):
            assert event["from_state"] == before["to_state"], path
            source, target = State(event["from_state"]), State(event["to_state"])
            assert source is target or target in TRANSITIONS[source], path


def _upstream_agrees(jobs: list[asyncpg.Record], observed: list[asyncpg.Record], started: list[dict[str, Any]]) -> None:
    """No job was started twice, and every run that was started is a job's own, or known to be nobody's."""
    by_marker = {job["marker"]: job for job in jobs}
    own = {job["upstream_id"]: job for job in jobs if job["upstream_id"] is not None}
    late = {row["upstream_id"] for row in observed}
    assert not late & own.keys(), "an id that is its job's own was noted as having come too late"
    runs: Counter[str] = Counter()
    for run in started:
        marker = json.loads(run["body"])["echo"]["marker"]
        runs[marker] += 1
        job = by_marker[marker]
        bound = own.get(run["request_id"])
        assert bound is None or bound["marker"] == marker, f"{run['request_id']} was given to another job: {bound}"
        unknown = job["state"] == State.UNKNOWN or job["error_code"] == "submission_unknown"
        # one that was to be canceled while unknown ends CANCELED when its time is up
        unknown = unknown or (job["state"] == State.CANCELED and job["upstream_id"] is None)
        assert bound is not None or run["request_id"] in late or unknown, f"a run nobody knows of: {run}, {job}"
    assert all(count == 1 for count in runs.values()), f"started twice: {[m for m, n in runs.items() if n > 1]}"


def _costs_agree(jobs: list[asyncpg.Record], charged: dict[str, int]) -> None:
    """What the upstream charged for a COMPLETED job is what we have recorded; its tenant paid that and no more."""
    for job in jobs:
        if job["state"] == State.COMPLETED:
            cost = charged[job["upstream_id"]]
            assert job["cost_micro"] == cost, f"charged {cost} upstream: {job}"
            assert job["charged_micro"] == min(cost, job["held_micro"]), job


async def verify_holds(stack: Stack) -> None:
    """Everything that `waystation verify` proves."""
    database = await Database.open(stack.ready["database_url"], name="prove", writers_max=1, readers_max=1)
    try:
        async with database.snapshot() as session:
            wrong = [proof.line async for proof in prove_invariants(session) if not proof.holds]
            for job_id in re.findall("job_([0-9a-f]{32})", " ".join(wrong)):
                print(await get_story(session, job_id=UUID(job_id)))
    finally:
        await database.close()
    assert wrong == [], wrong


async def _results_are_served(stack: Stack, jobs: list[asyncpg.Record], *, most: int = 200) -> None:
    completed = [job for job in jobs if job["state"] == State.COMPLETED][:most]
    gate = asyncio.Semaphore(8)
    async with httpx.AsyncClient(timeout=30, headers={"x-api-key": stack.api_key}) as client:

        async def get(job: asyncpg.Record) -> None:
            async with gate:
                answer = await client.get(f"{stack.url}/v2/requests/job_{job['id'].hex}")
            assert answer.status_code == 200, answer.text
            shown = answer.json()
            assert shown["status"] == "COMPLETED", shown
            assert shown["request_id"] == f"job_{job['id'].hex}", shown
            assert job["model"] != "sim-echo" or job["marker"] in answer.text, shown

        await asyncio.gather(*map(get, completed))
