"""The figures of the views, for a small history of one tenant that is known in full."""

from dataclasses import dataclass

import asyncpg
import httpx
import pytest

from tests.gateway import Gateway, TenantKey, ended, eventually


@dataclass(frozen=True, slots=True)
class History:
    """One job of each kind, by id, and three refused submits: two alike on /v2, one on the native surface."""

    tenant: TenantKey
    parked: str
    canceled: str
    done: str
    failed: str
    hanging: str


@pytest.fixture(scope="module")
async def history(stack: Gateway) -> History:
    tenant = await stack.tenant()
    async with httpx.AsyncClient(base_url=stack.url, headers=tenant.headers, timeout=40) as client:

        async def submit(model: str, **fields: object) -> str:
            answer = await client.post("/api/v1/jobs", json={"model": model, "input": {}, **fields})
            return str(answer.json()["id"])

        made = History(
            tenant,
            parked=await submit("sim-instant", not_before="2999-01-01T00:00:00Z", priority=7),
            canceled=await submit("sim-instant", not_before="2999-01-01T00:00:00Z"),
            done=await submit("sim-instant"),
            failed=await submit("sim-fail"),
            hanging=await submit("sim-hang"),
        )
        await client.post(f"/api/v1/jobs/{made.canceled}/cancel")
        for _ in range(2):
            await client.post("/v2/a/b", json={})
        await client.post("/api/v1/jobs", json={})
        for job_id in (made.done, made.failed):
            await ended(client, job_id)
    started = "SELECT FROM ops.jobs WHERE job_id = $1::text::uuid AND started_at IS NOT NULL"
    await eventually(lambda: stack.sql(started, made.hanging[4:]))
    return made


async def jobs_of(stack: Gateway, history: History) -> dict[str, asyncpg.Record]:
    rows = await stack.sql("SELECT * FROM ops.jobs WHERE tenant = $1", history.tenant.name)
    return {f"job_{row['job_id'].hex}": row for row in rows}


async def test_jobs(stack: Gateway, history: History) -> None:
    jobs = await jobs_of(stack, history)
    assert {job_id: row["status"] for job_id, row in jobs.items()} == {
        history.parked: "QUEUED",
        history.canceled: "CANCELED",
        history.done: "COMPLETED",
        history.failed: "FAILED",
        history.hanging: "PROCESSING",
    }
    assert {row["tenant_id"] for row in jobs.values()} == {history.tenant.id}
    assert {row["key_id"] for row in jobs.values()} == {history.tenant.key_id}
    assert jobs[history.parked]["priority"] == 7
    assert jobs[history.failed]["error_code"] == "upstream_failed"


async def test_the_times_of_a_job_add_up(stack: Gateway, history: History) -> None:
    row = (await jobs_of(stack, history))[history.done]
    assert (row["attempts"], row["error_code"]) == (1, None)
    assert row["polls"] >= 1
    assert row["created_at"] <= row["submitted_at"] <= row["started_at"] <= row["finished_at"]
    assert row["queue_seconds"] == pytest.approx((row["submitted_at"] - row["created_at"]).total_seconds())
    assert row["upstream_seconds"] >= 0
    assert row["detection_seconds"] >= 0
    assert row["upstream_seconds"] + row["detection_seconds"] == pytest.approx(
        (row["finished_at"] - row["submitted_at"]).total_seconds(), abs=0.5
    )
    assert 0.009 < row["upstream_cost"] < 0.011


async def test_queue_now(stack: Gateway, history: History) -> None:
    (queue,) = await stack.sql("SELECT * FROM ops.queue_now WHERE tenant = $1", history.tenant.name)
    assert (queue["queued"], queue["in_flight"], queue["unknown"]) == (1, 1, 0)
    assert queue["oldest_seconds"] > 0


async def test_job_events_follow_one_another(stack: Gateway, history: History) -> None:
    sql = "SELECT seq, from_status, to_status FROM ops.job_events WHERE job_id = $1::text::uuid ORDER BY seq"
    events = await stack.sql(sql, history.done[4:])
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    statuses = [event["to_status"] for event in events]
    assert (statuses[0], statuses[-1]) == ("QUEUED", "COMPLETED")
    assert [event["from_status"] for event in events] == [None, *statuses[:-1]]


async def test_attempts_and_exchanges(stack: Gateway, history: History) -> None:
    job = (await jobs_of(stack, history))[history.done]
    (attempt,) = await stack.sql("SELECT * FROM ops.attempts WHERE job_id = $1", job["job_id"])
    assert (attempt["attempt"], attempt["outcome"]) == (1, "accepted")
    assert attempt["sent_at"] <= attempt["settled_at"]
    assert attempt["upstream_id"] == job["upstream_id"]
    exchanges = await stack.sql("SELECT * FROM ops.upstream_exchanges WHERE job_id = $1 ORDER BY at", job["job_id"])
    kinds = [(one["kind"], one["status_code"], one["outcome"]) for one in exchanges]
    assert kinds[0] == ("submit", 200, "accepted")
    assert ("fetch", 200, "succeeded") in kinds
    assert all(one["duration_seconds"] > 0 for one in exchanges)


async def test_requests(stack: Gateway, history: History) -> None:
    requests = await stack.sql("SELECT * FROM ops.requests WHERE tenant = $1", history.tenant.name)
    accepted = [one for one in requests if one["job_id"] is not None]
    assert {f"job_{one['job_id'].hex}" for one in accepted} == set(await jobs_of(stack, history))
    assert {(one["surface"], one["status_code"], one["code"], one["count"]) for one in accepted} == {
        ("native", 202, "accepted", 1)
    }
    refused = [one for one in requests if one["job_id"] is None]
    assert {(one["surface"], one["status_code"], one["code"]) for one in refused} == {
        ("segmind", 404, "model_not_found"),
        ("native", 400, "invalid_request"),
    }
    assert sum(one["count"] for one in refused) == 3
