"""Postgres with its own directory and loopback port. It is created at the first start, is durable, and never runs as root.

DIRECTORY/data      the cluster; appears complete or not at all
DIRECTORY/lock      interlock of the postmaster and its backends
DIRECTORY/port      the port, which is reused
"""

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path

from app.core.clock import monotonic
from app.core.database.sql import SqlFolder
from app.core.logs.log import get_logger
from app.stack.errors import StackError
from app.stack.files import last_lines, make_directory, open_log, text_of, write_private
from app.stack.processes.identity import Identity, choose_identity
from app.stack.processes.interlock import sign, take_over
from app.stack.processes.process import Process, said, start_process
from app.stack.servers.binaries import PostgresPrograms, find_postgres
from app.stack.servers.ports import LOOPBACK, claim_port, is_free

log = get_logger(__name__)

NAME = "waystation"
"""The name of the owner's role and of the database. The role is a superuser, as in other images of Postgres for one program."""

_CREATE_DATABASE = SqlFolder(__file__).command("create_database")

START_SECONDS = 120.0
"""The longest time for recovery after a crash, while the postmaster lives."""
_INITDB_SECONDS = 120.0
_STOP = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0))
_PORT_TRIES = 5
_POLL_SECONDS = 0.005

_CONFIG = """\
# Written anew at every start; ALTER SYSTEM overrides it.
listen_addresses = '{host}'
unix_socket_directories = ''
max_connections = 200
shared_buffers = '128MB'
fsync = on
synchronous_commit = on
full_page_writes = on
wal_compression = on
max_wal_size = '4GB'
min_wal_size = '256MB'
checkpoint_timeout = '10min'
autovacuum_naptime = '15s'
jit = off
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
log_checkpoints = off
# A statement or a row quoted in the log could hold a secret.
log_min_error_statement = 'panic'
log_error_verbosity = 'terse'
"""
_HBA = f"""\
host all,replication all {LOOPBACK}/32 scram-sha-256
"""


class EmbeddedPostgres:
    """One server. Call `start` and `stop` from the main thread. Raises StackError if it cannot run."""

    name = "postgres"

    def __init__(self, directory: Path, *, password: str, log_path: Path | None = None) -> None:
        self.directory = directory.resolve()
        self.data = self.directory / "data"
        self.log_path = log_path or self.directory / "postgres.log"
        self._password = password
        self._process: Process | None = None
        self._port: int | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster."""
        return self._process.pid if self._process else None

    @property
    def url(self) -> str:
        """The owner's URL. It does not change during the life of this object."""
        if self._port is None:
            raise RuntimeError("not started yet")
        return f"postgresql://{NAME}:{self._password}@{LOOPBACK}:{self._port}/{NAME}"

    async def start(self) -> None:
        """Start the server. Return when it accepts connections. What an earlier server left running is stopped first."""
        make_directory(self.directory)
        programs = find_postgres(self._data_major())
        identity = choose_identity(self.directory, programs.postgres)
        identity.own(self.directory)
        lock = await take_over(self.directory / "lock", stop_signal=signal.SIGINT, patience_seconds=60)
        try:
            if not self.data.exists():
                await self._create(programs, identity, lock)
            self._forget_other_pid()
            write_private(self.data / "postgresql.conf", _CONFIG.format(host=LOOPBACK))
            write_private(self.data / "pg_hba.conf", _HBA)
            await self._run(programs, identity, lock)
        finally:
            os.close(lock)

    async def wait(self) -> int:
        """Wait until the postmaster ends, for any cause. Return its return code."""
        if self._process is None:
            raise RuntimeError("not started yet")
        return await self._process.wait()

    async def stop(self) -> None:
        """Fast shutdown: connections are closed, all data is written."""
        if self._process is not None:
            await self._process.stop(_STOP)

    def _data_major(self) -> int | None:
        version = text_of(self.data / "PG_VERSION")
        return None if version is None else int(version)

    def _forget_other_pid(self) -> None:
        """Remove the pid file of a dead postmaster if another program has its process id now: Postgres would refuse to start."""
        path = self.data / "postmaster.pid"
        text = text_of(path)
        if text is None:
            return
        process = Path("/proc") / text.partition("\n")[0].strip()
        with contextlib.suppress(OSError):  # no such process, or one that Postgres may not see either
            if process.name.isdigit() and (process / "cwd").readlink() != self.data:
                path.unlink()

    async def _run(self, programs: PostgresPrograms, identity: Identity, lock: int) -> None:
        for _ in range(_PORT_TRIES):
            first = self._port is None
            port = claim_port(self.directory / "port") if self._port is None else self._port
            command = [str(programs.postgres), "-D", str(self.data), "-p", str(port)]
            self._process = self._start(command, identity, lock, death_signal=signal.SIGINT)
            if await self._accepts():
                self._port = port
                return
            # another program took a newly chosen port: choose another. The port of a URL that is in use cannot change.
            if not first or is_free(port):
                break
        raise StackError(f"Postgres failed to start: {last_lines(self.log_path)} (see {self.log_path})")

    async def _accepts(self) -> bool:
        """Return True when it accepts connections, within START_SECONDS; False if it ended."""
        process = self._process
        until = monotonic() + START_SECONDS
        while process is not None and process.returncode is None:
            if self._status(process.pid) == "ready":
                return True
            if monotonic() > until:
                await self.stop()
                break
            await asyncio.sleep(_POLL_SECONDS)
        return False

    def _status(self, pid: int) -> str | None:
        """Return the status in the last line of this postmaster's file; None if the file belongs to another."""
        lines = (text_of(self.data / "postmaster.pid") or "").splitlines()
        return lines[7].strip() if len(lines) > 7 and lines[0] == str(pid) else None

    async def _create(self, programs: PostgresPrograms, identity: Identity, lock: int) -> None:
        """Create the cluster, with role and database, under another name, and rename it only when it is complete."""
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        secret = self.directory / "initdb.password"
        write_private(secret, self._password)
        options = f"-U {NAME} --auth=scram-sha-256 --encoding=UTF8 --locale=C --data-checksums --no-instructions"
        try:
            initdb = [str(programs.initdb), "-D", str(fresh), f"--pwfile={secret}", *options.split()]
            await self._once(initdb, identity, lock)
        finally:
            secret.unlink()
        single = [str(programs.postgres), "--single", "-D", str(fresh), "-c", "exit_on_error=true", "postgres"]
        await self._once(single, identity, lock, given=f"{_CREATE_DATABASE.text}\n")
        fresh.rename(self.data)

    async def _once(self, command: list[str], identity: Identity, lock: int, *, given: str = "") -> None:
        """Run a program of Postgres to its end. Raises StackError with its last output if it fails."""
        process = self._start(command, identity, lock, death_signal=signal.SIGKILL, given=given)
        try:
            code = await asyncio.wait_for(process.wait(), _INITDB_SECONDS)
        finally:
            await process.stop(())
        if code != 0:
            raise StackError(
                f"the data directory of Postgres cannot be created: {last_lines(self.log_path)} (see {self.log_path})"
            )

    def _start(
        self, command: list[str], identity: Identity, lock: int, *, death_signal: signal.Signals, given: str = ""
    ) -> Process:
        with open_log(self.log_path) as output, said(given) as stdin:
            process = start_process(
                command,
                stdin=stdin.fileno(),
                log=output.fileno(),
                death_signal=death_signal,
                environment=_environment(),
                pass_fds=[lock],
                identity=identity,
                directory=self.directory,
            )
        sign(lock, process.pid)
        return process


def _environment() -> dict[str, str]:
    """Return a server's environment: others, such as PGDATA or a locale, would change its behavior."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LD_LIBRARY_PATH", "TMPDIR"}}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
