"""A claim that ran out opens nothing, not even beside the one that came after it."""

from app.core.db import Database
from app.jobs.claims import open_attempts
from tests.factories.callers import Caller
from tests.factories.jobs import LEASE_SECONDS, Engine, wrong


async def test_of_two_claims_of_one_process_the_later_one_holds(
    database: Database, engine: Engine, caller: Caller
) -> None:
    """While Postgres is away the first waits to be opened, runs out, and is opened in one group with the second."""
    [job_id] = await engine.submit(caller)
    [first] = await engine.claim()
    await engine.let_run_out()
    [second] = await engine.claim()
    claims = [(job_id, first["fence"]), (job_id, second["fence"])]
    for _ in range(2):  # the second time because the first answer was lost
        async with database.statement() as session:
            opened = await open_attempts(session, owner=engine.owner, claims=claims, lease_seconds=LEASE_SECONDS)
        assert opened == {(job_id, second["fence"]): 1}
    assert (await engine.get(job_id))["attempt"] == 1
    assert not await wrong(database)
