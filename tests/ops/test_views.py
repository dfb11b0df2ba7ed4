"""The views of schema `ops`: their columns, their comments, who may read them, and their figures."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.gateway import LATER, Gateway, TenantKey, ended, eventually

CONTRACT = {
    "requests": "received_at tenant tenant_id key_id surface model status_code code count job_id",
    "jobs": "job_id tenant tenant_id key_id model status priority created_at submitted_at started_at finished_at"
    " upstream_id attempts polls error_code queue_seconds upstream_seconds detection_seconds",
    "job_events": "job_id tenant tenant_id seq at from_status to_status reason",
    "attempts": "job_id tenant tenant_id attempt outcome sent_at settled_at upstream_id",
    "upstream_exchanges": "at kind job_id tenant tenant_id status_code outcome duration_seconds",
    "queue_now": "tenant tenant_id queued in_flight oldest_seconds",
    "tenants_now": "tenant tenant_id weight rate_per_minute burst queued max_queued ready in_flight max_in_flight"
    " oldest_seconds available suspended paused refused_last_minute refused_codes",
    "upstream_now": "paused_reason",
    "webhook_deliveries": "delivery_id event_id endpoint_id job_id tenant tenant_id type status attempts next_attempt_at"
    " delivered_at last_status_code",
    "webhook_endpoints": "endpoint_id tenant tenant_id url events enabled disabled_at",
}
"""Columns that dashboards may count on, of the views that are there."""

TYPES = {
    "uuid": {"job_id", "tenant_id", "key_id", "worker_id"},
    "timestamp with time zone": {"received_at", "at", "created_at", "submitted_at", "started_at", "finished_at", "sent_at", "settled_at"},
    "double precision": {"duration_seconds", "queue_seconds", "upstream_seconds", "detection_seconds", "oldest_seconds"},
    "text": {"tenant", "surface", "model", "status", "code", "outcome", "reason", "from_status", "to_status", "kind", "upstream_id", "error_code"},
    "bigint": {"count", "queued", "in_flight"},
    "integer": {"status_code", "polls", "seq"},
}  # fmt: skip


async def columns_of(stack: Gateway) -> dict[tuple[str, str], str]:
    rows = await stack.sql(
        "SELECT relname, attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute"
        " JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'ops'::regnamespace AND attnum > 0"
    )
    return {(row["relname"], row["attname"]): row["type"] for row in rows}


async def test_columns_and_types_are_the_contracts(stack: Gateway) -> None:
    columns = await columns_of(stack)
    missing = {(view, name) for view, names in CONTRACT.items() for name in names.split()} - columns.keys()
    assert missing == set()
    wrong = [
        (view, name, type_)
        for (view, name), type_ in columns.items()
        for wanted, names in TYPES.items()
        if name in names and type_ != wanted
    ]
    assert wrong == []


async def test_there_is_nothing_but_views_and_all_is_commented(stack: Gateway) -> None:
    kinds = await stack.sql("SELECT relname, relkind::text FROM pg_class WHERE relnamespace = 'ops'::regnamespace")
    assert {row["relkind"] for row in kinds} == {"v"}
    uncommented = await stack.sql(
        "SELECT relname, coalesce(attname, '') FROM pg_class LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0"
        " WHERE relnamespace = 'ops'::regnamespace AND (obj_description(pg_class.oid, 'pg_class') IS NULL"
        " OR col_description(pg_class.oid, attnum) IS NULL)"
    )
    assert [tuple(row) for row in uncommented] == []


@pytest.fixture
async def dashboard(stack: Gateway) -> AsyncIterator[asyncpg.Connection]:
    """A login that has the group role and nothing else."""
    name = f"dashboard_{uuid4().hex}"
    await stack.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE waystation_readonly")
    connection = await asyncpg.connect(stack.database_url, user=name, password="x")
    yield connection
    await connection.close()
    await stack.sql(f"DROP ROLE {name}")


async def test_readonly_reads_the_views_and_nothing_else(stack: Gateway, dashboard: asyncpg.Connection) -> None:
    relations = await stack.sql(
        "SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE relkind IN ('r', 'v', 'm', 'p') AND nspname IN ('public', 'ops')"
    )
    assert len(relations) > len(CONTRACT)
    for row in relations:
        name = f'"{row["nspname"]}"."{row["relname"]}"'
        if row["nspname"] == "ops":
            await dashboard.fetch(f"SELECT * FROM {name} LIMIT 1")
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await dashboard.fetch(f"SELECT * FROM {name} LIMIT 1")
        for write in (f"DELETE FROM {name}", f"DROP TABLE {name}", f"DROP VIEW {name}"):
            with pytest.raises(
                (
                    asyncpg.InsufficientPrivilegeError,
                    asyncpg.ObjectNotInPrerequisiteStateError,
                    asyncpg.WrongObjectTypeError,
                )
            ):
                await dashboard.execute(write)
    for statement in ("CREATE TABLE public.x (a int)", "CREATE TABLE ops.x (a int)", "SET ROLE waystation_service"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await dashboard.execute(statement)


async def test_no_view_shows_payloads_keys_or_secrets(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey
) -> None:
    secret = "a-word-nobody-may-see"
    body = {"model": "sim-echo", "input": {"echo": secret}, "metadata": {"k": secret}}
    job = (await client.post("/api/v1/jobs", json=body, headers={"idempotency-key": secret})).json()
    await ended(client, job["id"])
    for row in await stack.sql("SELECT relname FROM pg_class WHERE relnamespace = 'ops'::regnamespace"):
        (text,) = await stack.sql(f'SELECT string_agg(v::text, chr(10)) AS rows FROM ops."{row["relname"]}" AS v')
        assert secret not in (text["rows"] or "")
        assert tenant.key not in (text["rows"] or "")


async def test_figures_of_a_small_history(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    async def submit(model: str, **fields: object) -> str:
        answer = await client.post("/api/v1/jobs", json={"model": model, "input": {}, **fields})
        return str(answer.json()["id"])

    parked = await submit("sim-instant", not_before=LATER, priority=7)
    canceled = await submit("sim-instant", not_before=LATER)
    await client.post(f"/api/v1/jobs/{canceled}/cancel")
    done, failed, hanging = await submit("sim-instant"), await submit("sim-fail"), await submit("sim-hang")
    await client.post("/v2/a/b", json={})
    await client.post("/v2/a/b", json={})
    await client.post("/api/v1/jobs", json={})
    for job_id in (done, failed):
        await ended(client, job_id)
    await eventually(
        lambda: stack.sql("SELECT FROM ops.jobs WHERE job_id = $1::text::uuid AND started_at IS NOT NULL", hanging[4:])
    )

    jobs = {
        f"job_{row['job_id'].hex}": row
        for row in await stack.sql("SELECT * FROM ops.jobs WHERE tenant = $1", tenant.name)
    }
    status = {job_id: row["status"] for job_id, row in jobs.items()}
    assert status == {
        parked: "QUEUED",
        canceled: "CANCELED",
        done: "COMPLETED",
        failed: "FAILED",
        hanging: "PROCESSING",
    }
    assert {row["tenant_id"] for row in jobs.values()} == {tenant.id}
    assert {row["key_id"] for row in jobs.values()} == {tenant.key_id}
    assert jobs[parked]["priority"] == 7
    assert jobs[failed]["error_code"] == "upstream_failed"
    row = jobs[done]
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
    holds = {job_id: (float(job["held"]), float(job["hold_now"])) for job_id, job in jobs.items()}
    ongoing, over = (0.1, 0.1), (0.1, 0.0)
    assert holds == {parked: ongoing, canceled: over, done: over, failed: over, hanging: ongoing}

    (queue,) = await stack.sql("SELECT * FROM ops.queue_now WHERE tenant = $1", tenant.name)
    assert (queue["queued"], queue["in_flight"], queue["unknown"]) == (1, 1, 0)
    assert queue["oldest_seconds"] > 0
    await assert_story(stack, done, upstream_id=row["upstream_id"])
    await assert_requests(stack, tenant, jobs=set(jobs))


async def assert_story(stack: Gateway, job_id: str, *, upstream_id: str) -> None:
    """Events, attempt and exchanges of a job that went through at once."""
    events = await stack.sql(
        "SELECT from_status, to_status FROM ops.job_events WHERE job_id = $1::text::uuid ORDER BY seq", job_id[4:]
    )
    statuses = [event["to_status"] for event in events]
    assert statuses[0] == "QUEUED"
    assert statuses[-1] == "COMPLETED"
    assert [event["from_status"] for event in events[1:]] == statuses[:-1], "each begins where the one before ended"

    (attempt,) = await stack.sql("SELECT * FROM ops.attempts WHERE job_id = $1::text::uuid", job_id[4:])
    assert (attempt["attempt"], attempt["outcome"]) == (1, "accepted")
    assert attempt["sent_at"] <= attempt["settled_at"]
    assert attempt["upstream_id"] == upstream_id

    exchanges = await stack.sql(
        "SELECT * FROM ops.upstream_exchanges WHERE job_id = $1::text::uuid ORDER BY at", job_id[4:]
    )
    kinds = [(one["kind"], one["status_code"], one["outcome"]) for one in exchanges]
    assert kinds[0] == ("submit", 200, "accepted")
    assert ("fetch", 200, "succeeded") in kinds
    assert all(one["duration_seconds"] > 0 for one in exchanges)


async def assert_requests(stack: Gateway, tenant: TenantKey, *, jobs: set[str]) -> None:
    """Every submit has left its row."""
    requests = await stack.sql(
        "SELECT surface, status_code, code, count, job_id FROM ops.requests WHERE tenant = $1 ORDER BY received_at",
        tenant.name,
    )
    accepted = [one for one in requests if one["job_id"] is not None]
    assert {f"job_{one['job_id'].hex}" for one in accepted} == jobs
    assert {(one["surface"], one["status_code"], one["code"], one["count"]) for one in accepted} == {
        ("native", 202, "accepted", 1)
    }
    refused = {
        (one["surface"], one["status_code"], one["code"]): one["count"] for one in requests if one["job_id"] is None
    }
    assert refused == {("segmind", 404, "model_not_found"): 2, ("native", 400, "invalid_request"): 1}


async def test_upstream_now_says_why_submits_wait(stack: Gateway) -> None:
    (row,) = await stack.sql("SELECT * FROM ops.upstream_now")
    assert row["paused_reason"] is None
    await stack.sql("UPDATE upstream_state SET cut_at = now(), resume_at = now() + interval '0.3 s'")
    (row,) = await stack.sql("SELECT * FROM ops.upstream_now")
    assert (row["paused_reason"], row["paused_since"] < row["paused_until"]) == ("throttled", True)
    assert row["budget_per_minute"] >= 1200
    assert row["used_per_minute"] >= 0
    assert row["throttled_per_minute"] == 0
    await eventually(lambda: stack.sql("SELECT FROM ops.upstream_now WHERE paused_reason IS NULL"))
    await stack.sql("UPDATE upstream_state SET broken_at = now()")
    (row,) = await stack.sql("SELECT * FROM ops.upstream_now")
    assert row["paused_reason"] == "unavailable"
    await stack.sql("UPDATE upstream_state SET broken_at = NULL")
    await stack.sql(
        "UPDATE upstream_state SET paused_reason = 'account', paused_detail = 'no credits', paused_since = now(),"
        " paused_until = now() + interval '1 hour'"
    )
    (row,) = await stack.sql("SELECT * FROM ops.upstream_now")
    assert (row["paused_reason"], row["paused_detail"]) == ("account", "no credits")
    await stack.sql(
        "UPDATE upstream_state SET paused_reason = NULL, paused_detail = NULL, paused_since = NULL, paused_until = NULL"
    )
