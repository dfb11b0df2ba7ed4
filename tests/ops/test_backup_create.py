"""`waystation backup create`: a dump that is whole or not there, from the server itself or from a session of its own."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import psutil
import pytest

from app.core.clock import now
from tests.command import COLD, ROOT, environment, run
from tests.conftest import NewDatabase
from tests.doubles.pgbouncer import pgbouncer
from tests.ops.stopping import stop_while_it_runs
from tests.servers import Urls, temporary_database


async def create(url: str, to: Path) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(run, "backup", "create", "--to", str(to), DATABASE_URL=url)


async def test_a_dump_that_fails_leaves_nothing(url: str, tmp_path: Path) -> None:
    gone = url.replace("postgresql://waystation:", "postgresql://waystation:wrong")
    done = await asyncio.to_thread(run, "backup", "create", "--to", str(tmp_path / "to"), DATABASE_URL=gone)
    assert done.returncode == 1
    assert "password authentication failed" in done.stderr
    assert "wrong" not in done.stderr.replace("wrong password", "")
    assert not (tmp_path / "to").exists()


async def test_a_dump_that_breaks_off_leaves_nothing(url: str, tmp_path: Path) -> None:
    role, password = f"reader_{uuid4().hex}", uuid4().hex
    owner = await asyncpg.connect(url)
    await owner.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD '{password}'; GRANT USAGE ON SCHEMA public TO {role};"
        f" GRANT SELECT ON alembic_version TO {role}"
    )
    try:
        real = urlsplit(url)
        given = real._replace(netloc=f"{role}:{password}@{real.hostname}:{real.port}").geturl()
        done = await create(given, tmp_path / "to")
    finally:
        await owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await owner.close()
    assert (done.returncode, "permission denied" in done.stderr) == (1, True), done.stderr
    assert os.listdir(tmp_path / "to") == []


@pytest.mark.parametrize("by", ["variables", "password file", "service"])
async def test_a_login_that_processes_find_elsewhere(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    real = urlsplit(url)
    monkeypatch.setenv("PGHOST", "nowhere.invalid")  # for psql in the same shell
    given = f"postgresql://{real.hostname}:{real.port}{real.path}"
    if by == "variables":
        monkeypatch.setenv("PGUSER", str(real.username))
        monkeypatch.setenv("PGPASSWORD", str(real.password))
    elif by == "password file":
        given = given.replace("//", f"//{real.username}@")
        (tmp_path / "pass").write_text(f"*:*:*:*:{real.password}\n")
        (tmp_path / "pass").chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pass"))
    else:
        given = "postgresql://?service=main"
        (tmp_path / "services").write_text(
            f"[main]\nhost={real.hostname}\nport={real.port}\ndbname={real.path[1:]}\n"
            f"user={real.username}\npassword={real.password}\n"
        )
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    done = await asyncio.to_thread(run, "backup", "create", "--to", str(tmp_path / "to"), DATABASE_URL=given)
    assert done.returncode == 0, done.stderr


async def test_behind_a_pooler_with_sessions(url: str, tmp_path: Path) -> None:
    async with pgbouncer(url, tmp_path / "pooler") as pooler:
        done = await create(pooler.url(), tmp_path / "to")
    assert done.returncode == 0, done.stderr


async def test_behind_a_pooler_that_shares_sessions(url: str, tmp_path: Path) -> None:
    """Its settings, such as an empty search path, would stay behind in the sessions of others."""
    async with pgbouncer(url, tmp_path / "pooler", replaced={"pool_mode=session": "pool_mode=transaction"}) as pooler:
        done = await create(pooler.url(), tmp_path / "to")
        assert (done.returncode, "pool_mode = session for this database" in done.stderr) == (1, True), done.stderr
        other = await asyncpg.connect(pooler.url(), statement_cache_size=0)
        assert await other.fetchval("SHOW search_path") == '"$user", public'
        await other.close()


async def test_a_database_without_anything_of_ours(servers: Urls, tmp_path: Path) -> None:
    async with temporary_database(servers.database) as empty:
        done = await create(empty, tmp_path / "to")
    assert (done.returncode, done.stderr) == (
        1,
        "waystation: the database has no Waystation tables that this login may see: expected a database that `waystation migrate` has prepared\n",
    )


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below"])
async def test_a_place_that_cannot_be_written(url: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    done = await create(url, tmp_path / name)
    assert done.returncode == 1
    assert done.stderr.startswith(f"waystation: {tmp_path / name}/waystation-"), done.stderr
    assert "cannot be written: " in done.stderr


async def test_what_killed_ones_left_behind_goes(url: str, tmp_path: Path) -> None:
    hours = {"old": 25, "new": 23}
    for name, age in hours.items():
        (tmp_path / f"waystation-{name}.dump.partial").touch()
        os.utime(tmp_path / f"waystation-{name}.dump.partial", (now().timestamp() - age * 3600,) * 2)
    done = await create(url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("*.partial")] == ["waystation-new.dump.partial"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_stopped_in_the_middle(new_database: NewDatabase, tmp_path: Path, number: signal.Signals) -> None:
    url = await new_database()
    holder = await asyncpg.connect(url)
    async with holder.transaction():
        await holder.execute("LOCK TABLE jobs")
        process = subprocess.Popen([*COLD, "backup", "create", "--to", str(tmp_path / "to")], cwd=ROOT,
                                   env=environment({"DATABASE_URL": url}), stderr=subprocess.PIPE, text=True)  # fmt: skip
        complaint, below = await stop_while_it_runs(process, "pg_dump", number)
        if number is signal.SIGKILL:  # the file is for the next one to remove
            _, alive = await asyncio.to_thread(psutil.wait_procs, below, timeout=60)
            assert alive == []
        else:
            assert (process.returncode, complaint.splitlines()[-1]) == (1, "waystation: aborted")
            assert [child for child in below if child.is_running()] == []
            assert os.listdir(tmp_path / "to") == []
    await holder.close()
