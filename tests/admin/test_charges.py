"""A job's charge given back in part, once; incidents in the audit log; the tenant of `waystation up`."""

import asyncio
import getpass
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from app.admin.actions.demo import ensure_demo_tenant
from app.core.database.db import Database
from app.core.ids import new_id, show_id
from app.jobs.endings import EndedJob, end_jobs
from app.jobs.models import State
from app.reconciliation.decide import OurJob
from app.reconciliation.operations import tell_cost
from app.tenants.keys import parse_key
from tests.admin.conftest import ADMIN_KEY, app_with
from tests.admin.test_operators import entries
from tests.admin.test_routes import assert_problem
from tests.command import run
from tests.conftest import NewDatabase
from tests.factories.callers import SECRET, Caller, make_caller
from tests.factories.jobs import Engine, wrong

HERE = f"command line: {getpass.getuser()}"
COMPLETE = """
UPDATE jobs SET
    state = 'completed', upstream_state = 'COMPLETED', finished_at = now(), started_at = now(), due_at = NULL,
    lease_until = NULL, owner = NULL, revision = revision + 1, charged_micro = 60000, cost_micro = $2
WHERE id = $1
RETURNING id, tenant_id, key_id, state, revision, model, error_code, upstream_id, finished_at, held_micro, charged_micro, price_rule,
    markup_micro, cost_micro, run_seconds, 'completed' AS reason
"""


@pytest.fixture
async def url(new_database: NewDatabase) -> str:
    return await new_database()


@pytest.fixture
async def own(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url, name="test", writers_max=4, readers_max=2)
    yield database
    await database.close()


@pytest.fixture
async def here(own: Database, url: str, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = app_with(own, url, ADMIN_KEY, redis_url)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway/admin/v1", headers=headers) as client:
        yield client
    await app.state.doorbell.close()


@pytest.fixture
async def caller(own: Database) -> Caller:
    return await make_caller(own)


async def completed(database: Database, caller: Caller, cost: int | None = 60_000) -> UUID:
    """A job that was charged 0.06."""
    [job_id] = await Engine(database).running(caller)
    async with database.transaction() as session:
        ended = [EndedJob(*row) for row in await session.fetch(COMPLETE, job_id, cost)]
        await session.execute("UPDATE queues SET in_flight = in_flight - 1 WHERE subject_id = $1", caller.tenant.id)
        await session.execute(
            "INSERT INTO job_events (job_id, seq, from_state, to_state, reason)"
            " SELECT id, revision, 'running', 'completed', 'completed' FROM jobs WHERE id = $1",
            job_id,
        )
        await session.execute("INSERT INTO job_results (job_id, body) VALUES ($1, '{}')", job_id)
        await end_jobs(session, ended=ended)
    return job_id


async def test_a_charge_is_lowered_once(here: httpx.AsyncClient, own: Database, caller: Caller) -> None:
    job_id = await completed(own, caller)
    assert await wrong(own) == {}
    path = f"/tenants/{caller.tenant.name}/adjustments"
    body = {"amount": "0.02", "note": "half of it was black", "job_id": show_id("job", job_id)}
    assert_problem(await here.post(path, json={**body, "amount": "0.060001"}), 400, "invalid_request", "$.amount")
    assert_problem(await here.post(path, json={**body, "amount": "-0.01"}), 400, "invalid_request", "$.amount")
    answer = await here.post(path, json=body)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["job_id"], answer.json()["amount"]) == (body["job_id"], "0.020000")
    assert_problem(await here.post(path, json=body), 409, "charge_corrected")
    async with own.snapshot() as session:
        row = await session.fetchrow(
            "SELECT posted, (SELECT charged_micro FROM jobs WHERE id = $2) AS charged FROM balances WHERE tenant_id = $1",
            caller.tenant.id,
            job_id,
        )
    assert row is not None
    assert (row["posted"], row["charged"]) == (40_000, 40_000)
    [exposed] = (await here.get("/exposure")).json()["items"]
    assert (exposed["job_id"], exposed["amount"]) == (body["job_id"], "0.020000"), (
        "the upstream has its money all the same"
    )
    assert await wrong(own) == {}
    [entry] = await entries(here, action="credits.adjust")
    assert entry["detail"] == {"amount": "0.020000", "note": body["note"], "job_id": body["job_id"]}


async def test_the_operator_s_word_is_the_last(here: httpx.AsyncClient, own: Database, caller: Caller) -> None:
    job_id = await completed(own, caller, cost=None)
    body = {"amount": "0.01", "note": "n", "job_id": show_id("job", job_id)}
    assert (await here.post(f"/tenants/{caller.tenant.name}/adjustments", json=body)).status_code == 201
    row = await Engine(own).get(job_id)
    job = OurJob(
        job_id, caller.tenant.id, row["key_id"], row["model"], State.COMPLETED, row["upstream_id"], row["sent_at"],
        row["finished_at"], None, row["held_micro"], row["charged_micro"], row["price_rule"], row["markup_micro"],
    )  # fmt: skip
    async with own.transaction() as session:
        assert await tell_cost(session, job=job, cost_micro=20_000) == 0, "the history would have it lower"
    row = await Engine(own).get(job_id)
    assert (row["charged_micro"], row["cost_micro"]) == (50_000, 20_000)
    assert await wrong(own) == {}


async def test_a_charge_of_nobody_s(here: httpx.AsyncClient, own: Database, caller: Caller) -> None:
    job_id = show_id("job", await completed(own, caller))
    other = await make_caller(own)
    body = {"amount": "0.02", "note": "n"}
    for tenant, job in ((other.tenant.name, job_id), (caller.tenant.name, show_id("job", new_id())),
                        (caller.tenant.name, "x")):  # fmt: skip
        answer = await here.post(f"/tenants/{tenant}/adjustments", json={**body, "job_id": job})
        assert_problem(answer, 404, "job_not_found")
    assert await wrong(own) == {}


async def test_incidents_are_written_down(here: httpx.AsyncClient, own: Database, caller: Caller, url: str) -> None:
    first, second = (show_id("job", job_id) for job_id in await Engine(own).unknown(caller, 2))
    assert (await here.post(f"/jobs/{first}/resolve", json={"adopt": "up-1", "force": True})).status_code == 200

    def at_the_command_line() -> None:
        for args in (
            ("job", "resolve", second, "--release"),
            ("pause", "--model", "m", "--all", "--note", "fire", "--force"),
            ("resume", "--model", "m"),
            ("recover", "--stay-paused"),
        ):
            assert run(*args, DATABASE_URL=url).returncode == 0

    await asyncio.to_thread(at_the_command_line)
    told = [(entry["operator"], entry["action"], entry["target"], entry["detail"]) for entry in await entries(here)]
    assert told[::-1] == [
        ("admin key", "job.resolve", first, {"adopt": "up-1", "force": True}),
        (HERE, "job.resolve", second, {"release": True}),
        (HERE, "pause.set", "m", {"tenant": None, "model": "m", "what": "all", "note": "fire"}),
        (HERE, "pause.lift", "m", {"tenant": None, "model": "m", "was_paused": True}),
        (HERE, "database.recover", "", {"since": None, "stay_paused": True}),
    ]


async def test_the_tenant_of_up_has_credits_once(here: httpx.AsyncClient, own: Database, url: str) -> None:
    name, key = await ensure_demo_tenant(url, SECRET.decode(), None)
    assert (name, parse_key(key) is not None) == ("demo", True)
    assert await ensure_demo_tenant(url, SECRET.decode(), key) == (name, key)
    async with own.snapshot() as session:
        assert await session.fetchval("SELECT granted FROM balances") == 1_000_000_000
        assert await session.fetchval("SELECT count(*) FROM transfers") == 1
    done = [(entry["operator"], entry["action"]) for entry in await entries(here)]
    actions = ("tenant.create", "tenant.set", "credits.grant", "key.create")
    assert done[::-1] == [("waystation up", action) for action in actions]
