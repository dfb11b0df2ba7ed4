import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from app.core.database.migrate import migrate
from app.core.database.schema import head_revision, migrations_directory
from tests.servers import Urls, temporary_database

ONLINE = """
from alembic import op

revision = "9000"
down_revision = "{head}"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS jobs_trial_idx")
        op.execute("CREATE INDEX CONCURRENTLY jobs_trial_idx ON jobs (model)")
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE {table} ADD COLUMN trial text")
"""


async def test_a_migration_may_leave_its_transaction_and_be_run_again_while_others_wait(
    servers: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "migrations"
    shutil.copytree(migrations_directory(), directory)
    added = directory / "versions" / "9000_online.py"
    added.write_text(ONLINE.format(head=head_revision(), table="no_such_table"))
    monkeypatch.setattr("app.core.database.migrate.migrations_directory", lambda: directory)
    async with temporary_database(servers.database) as url:
        with pytest.raises(asyncpg.UndefinedTableError):
            await asyncio.to_thread(migrate, url)
        assert await _state(url) == (head_revision(), True)  # the others stay, and what needs no transaction
        added.write_text(ONLINE.format(head=head_revision(), table="jobs"))
        found = await asyncio.gather(*(asyncio.to_thread(migrate, url) for _ in range(3)))
        assert {one.version for one in found} == {"9000"}
        assert await _state(url) == ("9000", True)


IN_THE_WAY = """
from pathlib import Path

from alembic import op

revision = "9000"
down_revision = "{head}"


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN trial text")
    marker = Path({marker!r})
    if not marker.exists():
        marker.touch()
        op.execute("DO $$ BEGIN RAISE EXCEPTION 'made by a test' USING ERRCODE = '{code}'; END $$")
"""


@pytest.mark.parametrize("code", ["40P01", "55P03"])
async def test_a_migration_that_others_made_fail_is_repeated(
    servers: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """A deadlock with their transactions, or a lock that they held for too long."""
    directory, head, marker = tmp_path / "migrations", head_revision(), tmp_path / "marker"
    shutil.copytree(migrations_directory(), directory)
    text = IN_THE_WAY.format(head=head, marker=str(marker), code=code)
    (directory / "versions" / "9000_in_the_way.py").write_text(text)
    monkeypatch.setattr("app.core.database.migrate.migrations_directory", lambda: directory)
    monkeypatch.setattr("app.core.database.migrate.AGAIN_SECONDS", 0.01)
    async with temporary_database(servers.database) as url:
        assert (await asyncio.to_thread(migrate, url)).version == "9000"
        assert marker.exists()


async def _state(url: str) -> tuple[str, bool]:
    """The revision, and whether the index is whole."""
    connection = await asyncpg.connect(url)
    try:
        revision = await connection.fetchval("SELECT version_num FROM alembic_version")
        whole = await connection.fetchval(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'jobs_trial_idx'::regclass"
        )
    finally:
        await connection.close()
    return revision, whole
