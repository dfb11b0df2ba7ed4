"""The views of schema `ops`: their columns, their comments, who may read them, and their figures."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.gateway import Gateway, TenantKey, ended, eventually

CONTRACT = {
    "requests": "received_at tenant tenant_id key_id surface model status_code code count job_id",
    "jobs": "job_id tenant tenant_id key_id model status priority created_at submitted_at started_at finished_at"
    " upstream_id attempts polls error_code queue_seconds upstream_seconds detection_seconds",
    "job_events": "job_id tenant tenant_id seq at from_status to_status reason",
    "attempts": "job_id tenant tenant_id attempt outcome sent_at settled_at upstream_id",
    "upstream_exchanges": "at kind job_id tenant tenant_id status_code outcome duration_seconds",
    "queue_now": "tenant tenant_id queued in_flight oldest_seconds",
    "upstream_now": "paused_reason",
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


async def test_upstream_now_says_why_submits_wait(stack: Gateway) -> None:
    (row,) = await stack.sql("SELECT * FROM ops.upstream_now")
    assert row["paused_reason"] is None
    await stack.sql(
        "UPDATE upstream_state SET paused_reason = 'throttled', paused_detail = 'slow down', paused_since = now(),"
        " paused_until = now() + interval '0.2 s'"
    )
    (row,) = await stack.sql("SELECT * FROM ops.upstream_now")
    assert (row["paused_reason"], row["paused_detail"]) == ("throttled", "slow down")
    await eventually(lambda: stack.sql("SELECT FROM ops.upstream_now WHERE paused_reason IS NULL"), seconds=2)
