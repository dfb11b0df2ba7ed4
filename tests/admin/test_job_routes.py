"""`/admin/v1`: the incident switch, one job's story, decisions on unknown submissions; and the same as commands."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.core.database.db import Database
from app.core.ids import new_id, show_id
from app.core.redis.arq_redis import QUEUE
from app.core.redis.doorbell import FINISHED
from tests.admin.conftest import ADMIN_KEY, app_with
from tests.admin.test_routes import assert_problem
from tests.command import run
from tests.conftest import NewDatabase
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import MODEL, Engine
from tests.test_cli import fails, shown

NOWHERE = {"tenant_id": None, "tenant": None, "model": None}


@pytest.fixture
async def url(new_database: NewDatabase) -> str:
    return await new_database()


@pytest.fixture
async def own(url: str) -> AsyncIterator[Database]:
    """A database of the test's own: a pause of everything is everybody's."""
    database = await Database.open(url, name="test", writers_max=4, readers_max=2)
    yield database
    await database.close()


@pytest.fixture
async def caller(own: Database) -> Caller:
    return await make_caller(own)


@pytest.fixture
def engine(own: Database) -> Engine:
    return Engine(own)


@pytest.fixture
async def here(own: Database, url: str, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = app_with(own, url, ADMIN_KEY, redis_url)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway/admin/v1", headers=headers) as client:
        yield client
    await app.state.doorbell.close()


async def test_pause_and_resume(here: httpx.AsyncClient, engine: Engine, caller: Caller, redis_url: str) -> None:
    [job_id] = await engine.submit(caller)
    paused = (await here.post("/pause", json={"note": "the upstream burns"})).json()
    assert paused["changed"] == NOWHERE | {
        "what": "submits", "note": "the upstream burns", "paused_by": "admin key", "since": paused["changed"]["since"],
        "next_probe_at": None, "refused_probes": 0, "reason": None,
    }  # fmt: skip
    assert paused["pauses"] == [paused["changed"]]
    scope = {"tenant": caller.tenant.name, "model": MODEL}
    narrower = (await here.post("/pause", json=scope | {"all": True})).json()
    assert (narrower["changed"]["tenant"], narrower["changed"]["model"], narrower["changed"]["what"]) == (
        caller.tenant.name, MODEL, "all",
    )  # fmt: skip
    assert (narrower["jobs"], len(narrower["pauses"])) == (1, 2)
    assert await engine.claim() == []

    resumed = (await here.post("/resume", json={})).json()
    assert (resumed["changed"], resumed["pauses"]) == (paused["changed"], [narrower["changed"]])
    assert (await here.post("/resume", json={})).json()["changed"] is None
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
        by_id = {"tenant": show_id("ten", caller.tenant.id), "model": MODEL, "all": True}
        assert (await here.post("/resume", json=by_id)).json()["jobs"] == 1
        async with asyncio.timeout(60):
            while not await redis.zscore(QUEUE, "dispatch"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert [row.id for row in await engine.claim()] == [job_id]


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_slips_with_the_switch(here: httpx.AsyncClient, verb: str) -> None:
    cases: list[tuple[dict[str, Any], int, str, list[str]]] = [
        ({"tenant": "nobody"}, 404, "tenant_not_found", []),
        ({"model": "a/b"}, 400, "invalid_request", ["$.model"]),
        ({"submits": True, "all": True}, 400, "invalid_request", ["$"]),
        ({"what": "all"}, 400, "invalid_request", ["$.what"]),
        ({"all": "yes"}, 400, "invalid_request", ["$.all"]),
    ]
    for body, status, code, paths in cases:
        assert_problem(await here.post(f"/{verb}", json=body), status, code, *paths)
    assert (await here.post("/resume", json={})).json()["pauses"] == []


async def test_a_job_s_story(here: httpx.AsyncClient, engine: Engine, caller: Caller, url: str) -> None:
    [job_id] = await engine.running(caller)
    shown_id = show_id("job", job_id)
    story = (await here.get(f"/jobs/{shown_id}")).json()
    assert (story["id"], story["tenant"], story["status"], story["state"]) == (
        shown_id, caller.tenant.name, "PROCESSING", "running",
    )  # fmt: skip
    assert (story["input_bytes"], story["upstream_id"], story["paused"]) == (2, f"up-{job_id.hex}", False)
    assert [event["reason"] for event in story["events"]] == ["submitted", "sending", "accepted"]
    assert [(one["attempt"], one["outcome"]) for one in story["attempts"]] == [(1, "accepted")]
    assert [(one["kind"], one["outcome"]) for one in story["exchanges"]] == [("submit", "accepted")]
    assert story["observations"] == []
    assert story["credits"] == {"hold": "0.100000", "held": "0.100000", "charged": "0.000000", "cost": None}
    assert await asyncio.to_thread(shown, "job", "show", shown_id, DATABASE_URL=url) == story
    said = (await asyncio.to_thread(run, "job", "show", shown_id, DATABASE_URL=url)).stdout
    for part in (
        shown_id,
        caller.tenant.name,
        "events",
        "attempts",
        "exchanges",
        f"up-{job_id.hex}",
        "submitted",
        "credits held",
    ):
        assert part in said
    assert "observations" not in said
    for stranger in (show_id("job", new_id()), "x", show_id("ten", caller.tenant.id)):
        assert_problem(await here.get(f"/jobs/{stranger}"), 404, "job_not_found")
    assert "no such job" in await asyncio.to_thread(fails, "job", "show", "x", DATABASE_URL=url)


async def test_resolve(here: httpx.AsyncClient, engine: Engine, caller: Caller, redis_url: str) -> None:
    adopted, released = (show_id("job", one) for one in await engine.unknown(caller, 2))
    [queued] = (show_id("job", one) for one in await engine.submit(caller))
    unconfirmed = await here.post(f"/jobs/{adopted}/resolve", json={"adopt": "up-1"})
    assert_problem(unconfirmed, 409, "request_unconfirmed")
    told = (await here.post(f"/jobs/{adopted}/resolve", json={"adopt": "up-1", "force": True})).json()
    assert told == {"id": adopted, "status": "PROCESSING", "state": "running"}
    taken = await here.post(f"/jobs/{released}/resolve", json={"adopt": "up-1", "force": True})
    assert_problem(taken, 409, "upstream_id_taken")
    async with Redis.from_url(redis_url) as redis, redis.pubsub() as heard:
        await heard.subscribe(FINISHED)
        assert await heard.get_message(timeout=60)
        told = (await here.post(f"/jobs/{released}/resolve", json={"release": True})).json()
        assert told == {"id": released, "status": "FAILED", "state": "failed"}
        message = await heard.get_message(timeout=60)
    assert message is not None
    assert message["data"].hex() == released.removeprefix("job_"), "whoever waits for it hears of it"
    assert_problem(await here.post(f"/jobs/{queued}/resolve", json={"release": True}), 409, "job_not_unknown")
    assert_problem(await here.post("/jobs/x/resolve", json={"release": True}), 404, "job_not_found")
    for body in ({}, {"release": False}, {"adopt": "up-1", "release": True}, {"adopt": None}):
        assert_problem(await here.post(f"/jobs/{queued}/resolve", json=body), 400, "invalid_request", "$")
    assert_problem(await here.post(f"/jobs/{queued}/resolve", json={"adopt": ""}), 400, "invalid_request", "$.adopt")


def said(url: str, *args: str) -> str:
    """What a command that succeeds prints."""
    done = run(*args, DATABASE_URL=url)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_the_incident_switch_at_the_command_line(caller: Caller, url: str) -> None:
    tenant = caller.tenant.name
    assert said(url, "pause", "--all", "--note", "fire") == "paused: submits and polls of everything"
    told = said(url, "pause", "--tenant", tenant, "--model", MODEL)
    assert told == f"paused: submits of {MODEL} of tenant {tenant}; also paused: submits and polls of everything"
    assert said(url, "resume").startswith("resumed: submits and polls of everything; also paused: submits of")
    listed = shown("resume", "--model", "other", "--force", DATABASE_URL=url)
    assert (listed["changed"], len(listed["pauses"])) == (None, 1)
    assert "@" in listed["pauses"][0]["paused_by"]
    assert said(url, "resume", "--model", MODEL, "--tenant", tenant, "--all").startswith("resumed: submits")
    assert said(url, "resume") == "nothing was paused in this scope"
    assert "--submits or --all" in fails("pause", "--submits", "--all", code=2, DATABASE_URL=url)
    assert "no such tenant" in fails("pause", "--tenant", "nobody", DATABASE_URL=url)


async def test_decisions_at_the_command_line(engine: Engine, caller: Caller, url: str) -> None:
    adopted, released = (show_id("job", one) for one in await engine.unknown(caller, 2))
    [queued] = (show_id("job", one) for one in await engine.submit(caller))

    def decide() -> None:
        assert "use force" in fails("job", "resolve", adopted, "--adopt", "up-1", DATABASE_URL=url)
        assert (
            said(url, "job", "resolve", adopted, "--adopt", "up-1", "--force")
            == f"job {adopted} is running, with the upstream id up-1"
        )
        assert said(url, "job", "resolve", released, "--release") == f"job {released} is failed"
        assert "the job is queued" in fails("job", "resolve", queued, "--release", DATABASE_URL=url)
        for both in ((), ("--adopt", "x", "--release")):
            assert "either --adopt" in fails("job", "resolve", queued, *both, code=2, DATABASE_URL=url)
        assert "not charged" in " ".join(said(url, "job", "resolve", "--help").split())

    await asyncio.to_thread(decide)


async def test_recovery_at_the_command_line(engine: Engine, caller: Caller, url: str) -> None:
    await engine.submit(caller)

    def recover() -> None:
        assert "--since" in fails("recover", "--since", "yesterday", DATABASE_URL=url)
        assert "UNKNOWN_MAX_SECONDS" in fails("recover", DATABASE_URL=url, UNKNOWN_MAX_SECONDS="soon")
        lines = said(url, "recover", "--stay-paused").splitlines()
        assert lines[0] == "1 queued jobs may have been sent since then: now unknown"
        assert "waystation resume" in lines[-1]
        told = json.loads(said(url, "recover", "--since", "2020-01-01T00:00:00Z", "--json"))
        assert (told["queued"], told["running"], told["left_unknown"], told["paused_by"]) == (0, 0, 1, None)

    await asyncio.to_thread(recover)
