"""A real PgBouncer before the tests' Postgres, with the configuration of deploy/pgbouncer."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from app.stack.processes.identity import choose_identity
from app.stack.processes.process import Process, start_process
from tests.deploy.tools import DEPLOY, loopback, tool
from tests.gateway import eventually

CONFIGURATION = DEPLOY / "pgbouncer/pgbouncer.ini"
PORT = 6432
START_SECONDS = 60.0


class PgBouncer:
    """One that runs. `directory` has its configuration and its log."""

    def __init__(self, database_url: str, *, address: str, directory: Path, process: Process) -> None:
        self._database = urlsplit(database_url)
        self._address = address
        self._directory = directory
        self._process = process

    def url(self, database: str = "waystation", *, user: str | None = None, password: str = "") -> str:
        """The URL of one of its databases: of the login that the tests' URL has, or of another."""
        login = self._database.netloc.rpartition("@")[0] if user is None else f"{user}:{password}"
        return urlunsplit(self._database._replace(netloc=f"{login}@{self._address}:{PORT}", path=f"/{database}"))

    def change(self, replaced: Mapping[str, str]) -> None:
        """Replace texts in its configuration, and have it read again."""
        change(self._directory / "pgbouncer.ini", replaced)
        self._process.send(signal.SIGHUP)


def change(path: Path, replaced: Mapping[str, str]) -> None:
    """Replace each of these texts in the file; all must be there."""
    text = path.read_text()
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)


@contextlib.asynccontextmanager
async def pgbouncer(
    database_url: str,
    directory: Path,
    *,
    logins: Mapping[str, str] | None = None,
    replaced: Mapping[str, str] | None = None,
) -> AsyncIterator[PgBouncer]:
    """PgBouncer before this database. `logins`: those that it lets in beside the URL's own, each with what Postgres keeps
    of its password; `replaced`: texts of the configuration, and what stands there instead."""
    program = tool("pgbouncer", comes_with="Debian's package `pgbouncer`; no registry of Python has it")
    real, address = urlsplit(database_url), loopback()
    directory.mkdir(exist_ok=True)
    shutil.copy(CONFIGURATION, directory / "pgbouncer.ini")
    change(
        directory / "pgbouncer.ini",
        {
            "host=postgres port=5432 dbname=waystation": f"host={real.hostname} port={real.port} dbname={real.path[1:]}",
            "listen_addr = *": f"listen_addr = {address}",
            "/etc/pgbouncer": str(directory),
            **(replaced or {}),
        },
    )
    known = {str(real.username): await password_of(database_url, str(real.username)), **(logins or {})}
    (directory / "userlist.txt").write_text("".join(f'"{name}" "{kept}"\n' for name, kept in known.items()))
    identity = choose_identity(directory, Path(program))  # it refuses to be root
    log = directory / "log"
    with log.open("wb") as output:
        process = start_process(
            [program, str(directory / "pgbouncer.ini")], log=output.fileno(), death_signal=signal.SIGKILL,
            environment={"PATH": os.environ["PATH"]}, identity=identity,
        )  # fmt: skip

    async def listens() -> bool:
        assert process.returncode is None, log.read_text()
        return await _connects(address)

    try:
        await eventually(listens, seconds=START_SECONDS)
        yield PgBouncer(database_url, address=address, directory=directory, process=process)
    finally:
        await process.stop([(signal.SIGINT, 10)])


async def password_of(database_url: str, name: str) -> str:
    """What Postgres keeps of a login's password."""
    connection = await asyncpg.connect(database_url)
    try:
        kept: str = await connection.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", name)
        return kept
    finally:
        await connection.close()


async def _connects(address: str) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, PORT)
    except OSError:
        return False
    writer.close()
    return True
