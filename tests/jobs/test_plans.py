"""What workers ask again and again reads no table of jobs from end to end, however many have ended."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.core.database.sql import Command
from app.jobs import operations
from app.jobs.claiming import claims, records, turns
from app.jobs.engine import sweeps
from app.jobs.observing import probing
from tests.conftest import NewDatabase

MANY = (
    "INSERT INTO tenants (id, name) SELECT gen_random_uuid(), n::text FROM generate_series(1, 1000) AS n",
    """
    INSERT INTO jobs (
        id, tenant_id, key_id, surface, model, state, priority, created_at, rank_at, ready, held_micro, price_rule,
        markup_micro, attempt, upstream_id, submitted_at, finished_at, cost_micro, charged_micro
    )
    SELECT
        gen_random_uuid(), id, id, 'native', 'm', 'completed', 5, now(), now(), false, 1, 'metered', 1000000, 1,
        gen_random_uuid()::text, now(), now(), 1, 1
    FROM tenants CROSS JOIN generate_series(1, 40)
    """,
    """
    INSERT INTO jobs (
        id, tenant_id, key_id, surface, model, state, priority, created_at, due_at, rank_at, ready, held_micro, price_rule,
        markup_micro
    )
    SELECT gen_random_uuid(), id, id, 'native', 'm', 'queued', 5, now(), now(), now(), true, 1, 'metered', 1000000
    FROM tenants
    """,
    "INSERT INTO job_inputs (job_id, body) SELECT id, '{}' FROM jobs",
    "INSERT INTO attempts (job_id, attempt, worker, sent_at) SELECT id, 1, id, now() FROM jobs",
)
STATEMENTS = {
    statement.name: statement.text
    for module in (turns, claims, records, operations, sweeps, probing)
    for statement in vars(module).values()
    if isinstance(statement, Command) and re.match(r"\s*(WITH|SELECT|UPDATE)\b", statement.text)
}
READ_THROUGH = re.compile(r"Seq Scan on (?:jobs|job_inputs|attempts)\b")


@pytest.fixture
async def connection(new_database: NewDatabase) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """To a database with many jobs, which plans as a worker's connections do."""
    connection = await asyncpg.connect(await new_database(), statement_cache_size=0)
    try:
        for sql in MANY:
            await connection.execute(sql)
        await connection.execute("SET plan_cache_mode = force_generic_plan; SET jit = off")
        yield connection
    finally:
        await connection.close()


async def plan_of(connection: "asyncpg.Connection[asyncpg.Record]", sql: str) -> str:
    """The one for any parameters."""
    number = max((int(one) for one in re.findall(r"\$(\d+)", sql)), default=0)
    given = f"({', '.join(['NULL'] * number)})" if number else ""
    await connection.execute(f"PREPARE asked AS {sql}")
    rows = await connection.fetch(f"EXPLAIN EXECUTE asked{given}")
    await connection.execute("DEALLOCATE asked")
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("analysed", [False, True])
async def test_no_table_of_jobs_is_read_through(
    connection: "asyncpg.Connection[asyncpg.Record]", analysed: bool
) -> None:
    assert len(STATEMENTS) > 25
    if analysed:
        await connection.execute("ANALYZE")
    plans = {name: await plan_of(connection, sql) for name, sql in STATEMENTS.items()}
    assert {name for name, plan in plans.items() if READ_THROUGH.search(plan)} == set()
