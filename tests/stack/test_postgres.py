import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from app.stack.errors import StackError
from app.stack.servers import binaries
from app.stack.servers.postgres import EmbeddedPostgres
from tests.stack.until import alive, until, until_count
from tests.stopwatch import Stopwatch

PASSWORD = "correct-horse-battery"

IS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """A server that tests of this file may stop, kill and start again."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "server", password=PASSWORD)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def server(made: EmbeddedPostgres) -> EmbeddedPostgres:
    if made.pid is None or not alive(made.pid):
        await made.start()
    return made


@contextlib.asynccontextmanager
async def connected(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.url, timeout=60)
    try:
        yield connection
    finally:
        connection.terminate()


async def test_what_is_promised_about_the_server(server: EmbeddedPostgres) -> None:
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "max_connections": "200",
        "listen_addresses": "127.0.0.1",
        "password_encryption": "scram-sha-256",
        "unix_socket_directories": "",
    }
    async with connected(server) as connection:
        found = await connection.fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", list(wanted))
        locale = await connection.fetchval("SELECT datcollate FROM pg_database WHERE datname = current_database()")
        assert await connection.fetchval("SELECT current_user || '@' || current_database()") == "waystation@waystation"
    assert {row["name"]: row["setting"] for row in found} == wanted
    assert locale == "C"


async def test_a_wrong_password_does_not_open(server: EmbeddedPostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url.replace(PASSWORD, "wrong"))


async def test_data_and_url_survive_a_restart_which_is_quick(server: EmbeddedPostgres) -> None:
    url = server.url
    async with connected(server) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    await server.stop()
    watch = Stopwatch()
    await server.start()
    assert watch.own_seconds < 2
    assert server.url == url
    async with connected(server) as connection:
        assert await connection.fetchval("SELECT n FROM kept") == 42


async def write_until_cut(server: EmbeddedPostgres, writer: int, acknowledged: list[int]) -> None:
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        async with connected(server) as connection:
            for n in range(writer, 100_000_000, 8):
                await connection.execute("INSERT INTO written VALUES ($1)", n)
                acknowledged.append(n)


async def test_no_acknowledged_commit_is_lost_when_it_is_killed(server: EmbeddedPostgres) -> None:
    async with connected(server) as connection:
        await connection.execute("CREATE TABLE written (n bigint PRIMARY KEY)")
    acknowledged: list[int] = []
    for _ in range(2):
        before = len(acknowledged)
        writers = [asyncio.create_task(write_until_cut(server, 8 * before + n, acknowledged)) for n in range(8)]
        await until_count(lambda: len(acknowledged), before + 200)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert await server.wait() == -signal.SIGKILL
        await asyncio.gather(*writers)
        await server.start()
    async with connected(server) as connection:
        found = {row["n"] for row in await connection.fetch("SELECT n FROM written")}
    assert set(acknowledged) <= found


@pytest.mark.slow
async def test_a_backend_that_outlives_its_postmaster_is_ended_first(server: EmbeddedPostgres) -> None:
    async with connected(server) as connection:
        backend = connection.get_server_pid()
        busy = asyncio.create_task(connection.execute("DO $$ BEGIN LOOP END LOOP; END $$"))
        await asyncio.sleep(0.2)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.wait()
        assert alive(backend)
        await server.start()
        assert not alive(backend)
        with pytest.raises((OSError, asyncpg.PostgresError)):
            await busy
    async with connected(server) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_server_left_behind_is_stopped_before_another_starts(server: EmbeddedPostgres) -> None:
    left_behind = server.pid
    assert left_behind is not None
    other = EmbeddedPostgres(server.directory, password=PASSWORD)
    await other.start()
    assert not alive(left_behind)
    assert await server.wait() == 0
    async with connected(other) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await other.stop()


async def test_a_stale_pid_file_with_the_number_of_a_stranger_does_not_matter(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    path = server.data / "postmaster.pid"
    owner = path.stat()
    stranger = subprocess.Popen(["/bin/sleep", "60"], user=owner.st_uid if IS_ROOT else None)
    try:
        path.write_text(path.read_text().replace(str(server.pid), str(stranger.pid), 1))
        await server.start()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_another_port_is_taken_where_somebody_else_has_ours(server: EmbeddedPostgres) -> None:
    await server.stop()
    port = urlsplit(server.url).port
    again = EmbeddedPostgres(server.directory, password=PASSWORD)
    with socket.create_server(("127.0.0.1", port or 0)):
        await again.start()
    assert urlsplit(again.url).port != port
    async with connected(again) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await again.stop()
    remembered = EmbeddedPostgres(server.directory, password=PASSWORD)
    await remembered.start()
    assert remembered.url == again.url
    await remembered.stop()


async def test_data_of_a_version_that_is_not_here_is_refused_by_name(server: EmbeddedPostgres) -> None:
    await server.stop()
    version = server.data / "PG_VERSION"
    kept = version.read_text()
    version.write_text("9\n")
    with pytest.raises(StackError, match=r"written by Postgres 9, which is not installed \(found: .*18"):
        await EmbeddedPostgres(server.directory, password=PASSWORD).start()
    version.write_text(kept)


async def test_data_is_opened_by_the_version_that_wrote_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without_wheels:
        without_wheels.setattr(binaries, "_package", lambda name: None)
        without_wheels.setattr(binaries, "POSTGRES_MIN_MAJOR", 0)
        try:
            installed = binaries.find_postgres()
        except StackError:
            pytest.skip("no Postgres is installed beside the one that comes with us")
        server = EmbeddedPostgres(tmp_path, password=PASSWORD)
        await server.start()
        await server.stop()
    assert binaries.find_postgres().major != installed.major
    await server.start()
    async with connected(server) as connection:
        assert connection.get_server_version().major == installed.major
    await server.stop()


async def test_a_first_start_that_was_cut_short_begins_anew(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, password=PASSWORD)
    starting = asyncio.create_task(server.start())
    await until((tmp_path / "data.new" / "base").exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not server.data.exists()
    await server.start()
    async with connected(server) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await server.stop()
    assert not (tmp_path / "data.new").exists()


@pytest.mark.skipif(not IS_ROOT, reason="only root has directories that Postgres's user cannot pass")
async def test_root_can_keep_it_below_a_closed_directory_and_open_it_later(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    directory = closed / "somewhere" / "postgres"
    server = EmbeddedPostgres(directory, password=PASSWORD)
    await server.start()
    process = Path(f"/proc/{server.pid}/status").read_text()
    assert "Uid:\t0" not in process
    await server.stop()
    assert closed.stat().st_mode & 0o777 == 0o700
    assert closed.stat().st_uid == 0
    opened = Path("/tmp") / f"waystation-test-{os.getpid()}"
    shutil.move(directory, opened)
    try:
        moved = EmbeddedPostgres(opened, password=PASSWORD)
        await moved.start()
        async with connected(moved) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        await moved.stop()
    finally:
        shutil.rmtree(opened)
