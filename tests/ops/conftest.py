"""As for jobs: an empty database, a tenant, and a worker's hand without a worker; and a job of each kind."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.core import clock
from app.core.ids import show_id
from app.jobs.models import State
from app.jobs.submit.refusals import RefusedSubmit, Tally, record_refusals
from app.upstream.wire import OutcomeKind
from tests.factories.callers import Caller
from tests.factories.jobs import Engine
from tests.jobs.conftest import caller, database, engine, url

__all__ = ["caller", "database", "engine", "url"]


@pytest.fixture
async def owner(url: str) -> AsyncIterator[asyncpg.Connection]:
    """The database's owner, who may do what the service may not."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
async def story(engine: Engine, caller: Caller) -> dict[str, str]:
    """One job of each kind; the ids as they are shown."""
    made = {}
    [job_id] = await engine.running(caller)
    made["running"] = job_id
    [job_id] = await engine.sending(caller)
    await engine.record(job_id, 1, OutcomeKind.THROTTLED, to_state="queued", reason="throttled", retry=True)
    await engine.open(await engine.claim())
    await engine.record(job_id, 2, OutcomeKind.ACCEPTED)
    made["retried"] = job_id
    [made["unknown"]] = await engine.unknown(caller)
    [made["sending"]] = await engine.sending(caller)
    [job_id] = await engine.sending(caller)
    await engine.record(
        job_id, 1, OutcomeKind.REJECTED, to_state=State.FAILED, reason="rejected", error_code="upstream_rejected",
        message="no",
    )  # fmt: skip
    made["failed"] = job_id
    [made["queued"]] = await engine.submit(caller)
    refused = RefusedSubmit(caller.tenant.id, caller.key.id, "native", "m", 404, "unknown_model")
    replayed = RefusedSubmit(caller.tenant.id, caller.key.id, "native", "m", 200, "replayed", made["queued"])
    tally = Tally()
    for one in (refused, refused, replayed):
        tally.add(one, clock.now())
    async with engine.database.statement() as session:
        await record_refusals(session, tally=tally)
    return {name: show_id("job", job_id) for name, job_id in made.items()}
