"""Every invariant holds on what the engine writes, and finds what is tampered with."""

import json
import re

import asyncpg
import pytest

from app.core.database.db import Database
from app.core.ids import show_id
from app.jobs.claiming.records import observe_upstream_id
from app.jobs.models import State
from app.ops.verify import INVARIANTS, NOT_SHOWN, prove
from app.upstream.wire import OutcomeKind
from tests.command import run
from tests.factories.callers import Caller
from tests.factories.jobs import Engine, wrong

FREE = "ALTER TABLE jobs DROP CONSTRAINT jobs_finished_check, DROP CONSTRAINT jobs_due_check,"
FREE += " DROP CONSTRAINT jobs_final_is_free_check, DROP CONSTRAINT jobs_running_check"


async def test_all_hold_and_count(database: Database, story: dict[str, str]) -> None:
    async with database.snapshot() as session:
        proofs = [proof async for proof in prove(session)]
    assert [proof.invariant.name for proof in proofs if not proof.holds] == []
    counted = {proof.invariant.name: proof.checked for proof in proofs}
    assert counted["stored"] == counted["last"] == 6
    assert counted["requests"] == 9
    assert (counted["replays"], counted["live"], counted["at_most_once"]) == (1, 1, 1)
    assert (counted["numbered"], counted["accepted"], counted["owned"]) == (6, 2, 2)
    assert (counted["failures"], counted["unknown"], counted["due"]) == (1, 1, 5)
    assert len(counted) == len(INVARIANTS)
    assert all(re.match(r"\d|of \d", proof.line) for proof in proofs), "each line has its figure"


JOB = "(SELECT id FROM jobs WHERE 'job_' || replace(id::text, '-', '') = '{%s}')"
TAMPERED = [
    ("stored", "running", f"DELETE FROM job_inputs WHERE job_id = {JOB % 'running'}"),
    ("path", "running", f"DELETE FROM job_events WHERE seq = 2 AND job_id = {JOB % 'running'}"),
    ("path", "running", f"UPDATE job_events SET to_state = 'completed' WHERE seq = 2 AND job_id = {JOB % 'running'}"),
    ("path", "queued", f"UPDATE job_events SET to_state = 'running' WHERE seq = 1 AND job_id = {JOB % 'queued'}"),
    ("last", "queued", f"UPDATE jobs SET revision = 7 WHERE id = {JOB % 'queued'}"),
    ("last", "unknown", f"UPDATE jobs SET state = 'sending' WHERE id = {JOB % 'unknown'}"),
    ("last", "failed", f"DELETE FROM jobs WHERE id = {JOB % 'failed'}"),
    ("live", "sending", f"DELETE FROM attempts WHERE job_id = {JOB % 'sending'}"),
    ("live", "running", f"UPDATE attempts SET outcome = NULL, settled_at = NULL, upstream_id = NULL WHERE job_id = {JOB % 'running'}"),
    ("numbered", "retried", f"DELETE FROM attempts WHERE attempt = 1 AND job_id = {JOB % 'retried'}"),
    ("at_most_once", "retried", f"UPDATE attempts SET outcome = 'unknown' WHERE attempt = 1 AND job_id = {JOB % 'retried'}"),
    ("accepted", "running", f"UPDATE jobs SET upstream_id = 'another' WHERE id = {JOB % 'running'}"),
    ("accepted", "unknown", f"UPDATE attempts SET outcome = 'accepted', upstream_id = 'x' WHERE job_id = {JOB % 'unknown'}"),
    ("sending", "sending", f"UPDATE jobs SET lease_until = now() - interval '2 minutes' WHERE id = {JOB % 'sending'}"),
    ("unknown", "unknown", f"UPDATE jobs SET due_at = now() - interval '2 minutes' WHERE id = {JOB % 'unknown'}"),
    ("due", "queued", f"UPDATE jobs SET due_at = 'infinity' WHERE id = {JOB % 'queued'}"),
    ("due", "queued", f"UPDATE jobs SET due_at = NULL WHERE id = {JOB % 'queued'}"),
    ("final", "running", f"UPDATE jobs SET finished_at = now() WHERE id = {JOB % 'running'}"),
    ("final", "failed", f"UPDATE jobs SET owner = id WHERE id = {JOB % 'failed'}"),
    ("poison", "running", f"UPDATE jobs SET takeovers = 3 WHERE id = {JOB % 'running'}"),
    ("results", "running", f"UPDATE jobs SET state = 'completed' WHERE id = {JOB % 'running'}"),
    ("failures", "failed", f"UPDATE job_results SET message = '' WHERE job_id = {JOB % 'failed'}"),
    ("replays", None, "UPDATE refusals SET job_id = tenant_id WHERE code = 'replayed'"),
    ("requests", "native", "CREATE OR REPLACE VIEW ops.requests AS SELECT * FROM (SELECT now() AS received_at, 'x' AS tenant, id AS tenant_id, id AS key_id, 'native' AS surface, 'm' AS model, 202 AS status_code, 'accepted' AS code, 1::bigint AS count, id AS job_id FROM jobs LIMIT 1) AS one"),
    ("service", "public.job_events DELETE", "GRANT DELETE ON job_events TO waystation_service"),
    ("service", "public.upstream_exchanges UPDATE", "GRANT UPDATE (detail) ON upstream_exchanges TO waystation_service"),
    ("service", "public.jobs TRUNCATE", "GRANT TRUNCATE ON jobs TO waystation_service"),
    ("service", "schema public CREATE", "GRANT CREATE ON SCHEMA public TO waystation_service"),
    ("readonly", "public.job_inputs SELECT", "GRANT SELECT (body) ON job_inputs TO waystation_readonly"),
    ("readonly", "schema public USAGE", "GRANT USAGE ON SCHEMA public TO PUBLIC"),
    ("readonly", "ops.jobs SELECT", "REVOKE SELECT ON ops.jobs FROM waystation_readonly"),
    ("constraints", "jobs.maybe", "ALTER TABLE jobs ADD CONSTRAINT maybe CHECK (polls < 0) NOT VALID"),
    ("durable", "synchronous_commit = off", "ALTER ROLE {role} IN DATABASE {database} SET synchronous_commit = off"),
    ("durable", "unlogged job_inputs", "ALTER TABLE job_inputs SET UNLOGGED"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "whose", "tampering"), TAMPERED)
async def test_what_is_wrong_is_found(
    database: Database, owner: asyncpg.Connection, story: dict[str, str], name: str, whose: str | None, tampering: str
) -> None:
    await owner.execute(FREE)
    role, base = await owner.fetchrow("SELECT quote_ident(session_user), quote_ident(current_database())")
    await owner.execute(tampering.format(**story, role=role, database=base))
    found = await wrong(database)
    assert name in found
    if whose is not None:
        assert found[name] == (1, [story.get(whose, whose)])


async def test_what_an_extension_shows_everybody_is_not_ours(database: Database, owner: asyncpg.Connection) -> None:
    await owner.execute("CREATE EXTENSION pg_stat_statements SCHEMA public")
    assert await wrong(database) == {}


async def test_an_upstream_id_that_was_given_twice_must_be_listed(
    database: Database, engine: Engine, caller: Caller
) -> None:
    [first] = await engine.running(caller)
    [second] = await engine.sending(caller)
    taken = {"to_state": State.UNKNOWN, "reason": "upstream_id_taken"}
    await engine.record(second, 1, OutcomeKind.UNKNOWN, **taken)
    await engine.set(second, "due_at = now() + interval '1 hour'")
    async with database.statement() as session:
        await observe_upstream_id(session, job_id=second, attempt=1, upstream_id=f"up-{first.hex}", worker=engine.owner)
    assert await wrong(database) == {"owned": (1, [show_id("job", first)])}
    async with database.statement() as session:
        await session.execute(
            "INSERT INTO upstream_exchanges (kind, job_id, attempt, outcome, duration_seconds, detail)"
            " VALUES ('submit', $1, 1, 'unknown', 0, 'upstream_id_taken')",
            second,
        )
    assert not await wrong(database)


async def test_it_reads_only(url: str, story: dict[str, str]) -> None:
    assert story
    database = await Database.open(url, name="test", writers_max=1, readers_max=1)
    async with database.snapshot() as session:
        assert await session.fetchval("SHOW transaction_read_only") == "on"
        assert [proof async for proof in prove(session)]
    await database.close()


async def test_the_command(url: str, engine: Engine, story: dict[str, str]) -> None:
    done = run("verify", DATABASE_URL=url)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(INVARIANTS) + len(NOT_SHOWN) + 1
    assert lines[-1] == f"all {len(INVARIANTS)} hold"
    assert sum("not checked here" in line for line in lines) == len(NOT_SHOWN)

    async with engine.database.statement() as session:
        await session.execute("UPDATE jobs SET revision = 99 WHERE state = 'queued'")
    done = run("verify", DATABASE_URL=url)
    assert done.returncode == 1
    assert f"violated: 6 jobs have the state of their last event: 1 wrong: {story['queued']}" in done.stdout
    done = run("verify", "--json", DATABASE_URL=url)
    told = json.loads(done.stdout)
    assert (done.returncode, told["holds"]) == (1, False)
    [last] = [one for one in told["invariants"] if not one["holds"]]
    assert (last["name"], last["wrong"], last["examples"]) == ("last", 1, [story["queued"]])
    assert {one["guarantee"] for one in told["not_shown"]} >= {2, 6, 9}
