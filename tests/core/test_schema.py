import asyncio

import asyncpg
import pytest

from app.core.database.db import Database
from app.core.database.schema import Fit, Found, SchemaGate, head_revision
from app.core.errors import SchemaBehind, WrongConnection, WrongSchema
from tests.command import run
from tests.conftest import NewDatabase
from tests.servers import Urls


@pytest.mark.parametrize(
    ("found", "fit"),
    [
        (Found(), Fit.BEHIND),
        (Found("0014"), Fit.BEHIND),
        (Found("0016", "0014"), Fit.BEHIND),
        (Found("0017", "0014"), Fit.FITS),
        (Found("0017", "0017"), Fit.FITS),
        (Found("0020", "0014"), Fit.FITS),
        (Found("0020", "0017"), Fit.FITS),
        (Found("0020", "0018"), Fit.CONTRACTED),
        (Found("0018", "0018"), Fit.CONTRACTED),
    ],
)
def test_which_schemas_serve_a_release_made_for_0017(found: Found, fit: Fit) -> None:
    assert found.fit("0017") is fit


async def _set(url: str, version: str, serves_from: str) -> None:
    owner = await asyncpg.connect(url)
    await owner.execute("UPDATE alembic_version SET version_num = $1, serves_from = $2", version, serves_from)
    await owner.close()


async def test_a_process_waits_for_migrate_and_then_works(new_database: NewDatabase) -> None:
    url, told = await new_database(), list[WrongConnection]()
    gate = SchemaGate(told.append)
    await _set(url, "0014", "0014")
    database = await Database.open(url, name="test", writers_max=1, readers_max=1, schema=gate)
    for _ in range(2):
        with pytest.raises(SchemaBehind):
            await database.prove()
    await _set(url, head_revision(), "0014")
    await database.prove()
    await _set(url, "9999", "9999")  # under connections that are open
    async with database.snapshot() as session:
        with pytest.raises(WrongSchema, match="supports releases from revision 9999 on"):
            await gate.check(session)
    await database.close()
    assert [type(error) for error in told] == [WrongSchema]


async def test_the_waiting_ends(new_database: NewDatabase) -> None:
    url, told = await new_database(), list[WrongConnection]()
    await _set(url, "0014", "0014")
    gate = SchemaGate(told.append, patience_seconds=0)
    database = await Database.open(url, name="test", writers_max=1, readers_max=1, on_wrong=told.append, schema=gate)
    with pytest.raises(WrongSchema, match=r"is at revision 0014, and this release needs .*`waystation migrate`"):
        await database.prove()
    await database.close()
    assert len(told) == 1


@pytest.mark.parametrize("newer", ["0014", "9999"])
async def test_migrate_leaves_a_newer_schema_as_it_is(new_database: NewDatabase, newer: str) -> None:
    url = await new_database()
    await _set(url, "9999", newer)
    ran = await asyncio.to_thread(run, "migrate", DATABASE_URL=url)
    if newer == "0014":
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.startswith(
            f"the database is at revision 9999, newer than this release's {head_revision()} and "
        )
    else:
        assert ran.returncode == WrongSchema.exit_code
        assert "run a newer release" in ran.stderr


async def test_a_database_that_nobody_has_migrated(servers: Urls) -> None:
    database = await Database.open(servers.database, name="test", writers_max=1, readers_max=1, schema=SchemaGate())
    with pytest.raises(SchemaBehind) as refused:
        await database.prove()
    assert "has no schema of this release" in refused.value.detail
    await database.close()
