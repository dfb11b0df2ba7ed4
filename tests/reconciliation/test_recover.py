"""After a restored database nothing is sent twice that may have been sent in the time that is lost."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core import clock
from app.core.database.db import Database
from app.jobs.admin.pausing import pause_jobs
from app.jobs.claiming.claims import claim_running
from app.jobs.claiming.records import observe_upstream_id
from app.pace.models import What
from app.pace.pauses.queries import find_pause
from app.reconciliation.commands.recover import _recover
from app.simulator.surface.serve import RunningSimulator
from app.upstream.wire import OutcomeKind
from tests.factories.callers import Caller
from tests.factories.jobs import Engine, later, wrong
from tests.reconciliation.books import KEY


@pytest.fixture
def recover(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("WAYSTATION_DATABASE_URL", url)

    async def run(since: Any = None, stay_paused: bool = False) -> dict[str, Any]:
        return await _recover(tmp_path, since, stay_paused)

    return run


async def test_each_state(database: Database, engine: Engine, caller: Caller, recover: Any) -> None:
    [running] = await engine.running(caller)
    [sending] = await engine.sending(caller)
    [unknown] = await engine.unknown(caller)
    before = await engine.get(unknown)
    queued, claimed = await engine.submit(caller, 2)
    [future] = await engine.submit(caller, not_before=later(hours=1))
    held = [row for row in await engine.claim() if row.id == claimed]
    async with database.transaction() as session:
        [poll] = (await claim_running(session, owner=engine.owner, reads_max=9, lease_seconds=30)).rows
    told = await recover()
    assert {name: told[name] for name in ("queued", "sending", "running", "left_queued", "left_unknown")} == {
        "queued": 2, "sending": 1, "running": 1, "left_queued": 1, "left_unknown": 4,
    }  # fmt: skip
    assert told["paused_by"] is None
    for job_id in (queued, claimed):
        job = await engine.get(job_id)
        assert (job["state"], job["attempt"]) == ("unknown", 1)
        assert timedelta(minutes=59) < job["due_at"] - clock.now() < timedelta(minutes=61)
        assert (await engine.events(job_id))[-1] == ("queued", "unknown", "recovered")
    assert (await engine.events(sending))[-1] == ("sending", "unknown", "recovered")
    assert (await engine.get(unknown)) == before
    assert (await engine.get(future))["state"] == "queued", "what was never due cannot have been sent"
    assert (await engine.get(running))["fence"] > poll.fence + 1000, "an old holder's fence is never given out again"
    assert await engine.open(held) == {}
    assert await engine.claim() == []
    assert not await wrong(database)


async def test_an_answer_of_the_lost_time_is_believed(
    database: Database, engine: Engine, caller: Caller, recover: Any
) -> None:
    """The attempt that the database has forgotten had the number which the recovery gives."""
    [job_id] = await engine.submit(caller)
    await recover()
    assert await engine.record(job_id, 1, OutcomeKind.ACCEPTED)
    assert (await engine.get(job_id))["state"] == "running"
    assert not await wrong(database)


async def test_only_what_existed_before_the_restore_point(
    database: Database, engine: Engine, caller: Caller, recover: Any
) -> None:
    [old] = await engine.submit(caller)
    since = clock.now() - timedelta(seconds=30)
    [new] = await engine.submit(caller, created_at=since + timedelta(seconds=1))
    assert (await recover(since=since))["queued"] == 1
    assert (await engine.get(old))["state"] == "unknown"
    assert [row.id for row in await engine.claim()] == [new]


async def test_jobs_that_a_pause_had_set_aside(
    database: Database, engine: Engine, caller: Caller, recover: Any
) -> None:
    """In the lost time the pause may have been lifted."""
    [job_id] = await engine.submit(caller)
    async with database.transaction() as session:
        await pause_jobs(session, tenant_id=caller.tenant.id, model=None, what=What.SUBMITS, paused_by="me", note="")
    assert (await engine.get(job_id))["aside"]
    assert (await recover())["queued"] == 1
    assert not await wrong(database)


async def test_staying_paused_and_running_again(
    database: Database, engine: Engine, caller: Caller, recover: Any
) -> None:
    assert (await recover(stay_paused=True))["paused_by"] == "waystation recover"
    [job_id] = await engine.submit(caller, created_at=later(seconds=5))
    assert await engine.claim() == []
    again = await recover()
    assert (again["queued"], again["paused_by"]) == (0, None)
    assert (await engine.get(job_id))["state"] == "queued"


async def test_somebody_else_s_pause_stays(database: Database, recover: Any) -> None:
    async with database.transaction() as session:
        await pause_jobs(session, tenant_id=None, model=None, what=What.ALL, paused_by="me", note="")
    assert (await recover())["paused_by"] == "me"
    async with database.snapshot() as session:
        pause = await find_pause(session, tenant_id=None, model=None)
    assert pause is not None
    assert pause.what is What.ALL


async def test_many(database: Database, engine: Engine, caller: Caller, recover: Any) -> None:
    """More than one step's worth, while others submit."""
    for _ in range(5):
        await engine.submit(caller, 1000)
    told, *_ = await asyncio.gather(
        recover(), *(engine.submit(caller, 10, created_at=later(seconds=5)) for _ in range(5))
    )
    assert told["queued"] == 5000
    assert not await wrong(database)


async def test_with_the_history(
    database: Database,
    engine: Engine,
    caller: Caller,
    sim: RunningSimulator,
    recover: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the upstream knows runs on, what it does not know is queued again, and its other requests are listed."""
    for name, value in {
        "UPSTREAM_URL": sim.url, "UPSTREAM_HISTORY_URL": sim.url, "UPSTREAM_API_KEY": KEY, "HISTORY_SETTLE_SECONDS": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"WAYSTATION_{name}", value)
    async with httpx.AsyncClient(base_url=sim.url, headers={"x-api-key": KEY}) as client:
        asked = [
            (await client.post("/v2/sim-echo", json={"echo": name})).json()["request_id"] for name in ("one", "lost")
        ]
    [known] = await engine.submit(caller, model="sim-echo", body=b'{"echo":"one"}')
    [unsent] = await engine.submit(caller, model="sim-echo", body=b'{"echo":"two"}')
    told = await recover()
    figures = ("queued", "adopted", "requeued", "orphans", "unread", "left_queued", "left_unknown", "paused_by")
    assert {name: told[name] for name in figures} == {
        "queued": 2, "adopted": 1, "requeued": 1, "orphans": 1, "unread": None, "left_queued": 1, "left_unknown": 0,
        "paused_by": None,
    }  # fmt: skip
    job = await engine.get(known)
    assert (job["state"], job["upstream_id"]) == ("running", asked[0])
    assert [row.id for row in await engine.claim()] == [unsent]
    async with database.snapshot() as session:
        rows = await session.fetch("SELECT kind, upstream_id FROM ops.discrepancies")
    assert [tuple(row) for row in rows] == [("not_ours", asked[1])]
    assert not await wrong(database)


async def test_an_id_that_a_worker_of_the_lost_time_has_told(
    database: Database, engine: Engine, caller: Caller, recover: Any
) -> None:
    """Its answer came to a database that knew of no attempt: the id was kept, and is the job's."""
    [job_id] = await engine.submit(caller)
    async with database.statement() as session:
        await observe_upstream_id(session, job_id=job_id, attempt=1, upstream_id="up-1", worker=engine.owner)
    told = await recover()
    assert (told["queued"], told["adopted"], told["left_unknown"]) == (1, 1, 0)
    job = await engine.get(job_id)
    assert (job["state"], job["upstream_id"]) == ("running", "up-1")


async def test_a_submission_whose_answer_went_with_the_time(
    engine: Engine, caller: Caller, sim: RunningSimulator, recover: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker had opened its attempt: found in the history it runs on, not found it stays unknown."""
    for name, value in {
        "UPSTREAM_URL": sim.url, "UPSTREAM_HISTORY_URL": sim.url, "UPSTREAM_API_KEY": KEY, "HISTORY_SETTLE_SECONDS": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"WAYSTATION_{name}", value)
    async with httpx.AsyncClient(base_url=sim.url, headers={"x-api-key": KEY}) as client:
        asked = (await client.post("/v2/sim-echo", json={"echo": "one"})).json()["request_id"]
    [found] = await _sending(engine, caller, b'{"echo":"one"}')
    [lost] = await _sending(engine, caller, b'{"echo":"two"}')
    told = await recover()
    assert (told["sending"], told["adopted"], told["requeued"], told["left_unknown"]) == (2, 1, 0, 1)
    job = await engine.get(found)
    assert (job["state"], job["upstream_id"]) == ("running", asked)
    assert (await engine.get(lost))["state"] == "unknown"


async def _sending(engine: Engine, caller: Caller, body: bytes) -> list[Any]:
    """A job with these parameters, and its attempt on the wire."""
    job_ids = await engine.submit(caller, model="sim-echo", body=body)
    assert len(await engine.open(await engine.claim(1), 30)) == 1
    return job_ids
