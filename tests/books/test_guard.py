"""What `waystation up` does to the database before any process of ours runs."""

from app.books.models import Doubt
from app.core.database.db import Database
from app.pace.pauses.queries import find_pause
from app.stack_seams import guard_books, pause
from tests.books.test_witness import Start, caller, database, doubt_in, engine, start, url
from tests.factories.callers import Caller
from tests.factories.jobs import Engine

__all__ = ["caller", "database", "engine", "start", "url"]


async def test_a_copy_in_which_jobs_wait(
    url: str, redis_url: str, database: Database, engine: Engine, caller: Caller, start: Start
) -> None:
    await start()
    await guard_books(url, redis_url, True)
    assert await doubt_in(database) is None, "nothing waits in it"
    await engine.submit(caller)
    await guard_books(url, redis_url, None)
    await guard_books(url, redis_url, False)
    assert await doubt_in(database) is None
    await start()
    assert await doubt_in(database) is None, "`up` vouches"
    await guard_books(url, redis_url, True)
    assert await doubt_in(database) is Doubt.COPIED
    assert await engine.claim() == []


async def test_a_database_that_nobody_has_opened(
    url: str, redis_url: str, database: Database, engine: Engine, caller: Caller
) -> None:
    """As that of the release before, migrated just now."""
    await engine.submit(caller)
    await guard_books(url, redis_url, True)
    assert await doubt_in(database) is None


async def test_paused(url: str, database: Database, engine: Engine, caller: Caller) -> None:
    await engine.submit(caller)
    await pause(url)
    await pause(url)
    async with database.snapshot() as session:
        found = await find_pause(session, tenant_id=None, model=None)
    assert found is not None
    assert (found.what, found.paused_by, found.reason) == ("submits", "waystation up", None)
    assert await engine.claim() == []
