"""Valkey with its own directory, loopback port, password and append-only file. It never runs as root.

DIRECTORY/data         its append-only files
DIRECTORY/lock         interlock of the server and its rewriter: two servers would destroy the append-only file
DIRECTORY/port         the port, which is reused
"""

import asyncio
import os
import signal
from pathlib import Path

from app.core.clock import monotonic
from app.stack.errors import StackError
from app.stack.files import last_lines, make_directory, open_log, write_private
from app.stack.processes.identity import Identity, choose_identity
from app.stack.processes.interlock import sign, take_over
from app.stack.processes.process import Process, start_process
from app.stack.servers.binaries import find_valkey
from app.stack.servers.ports import LOOPBACK, claim_port, is_free

START_SECONDS = 120.0
"""The longest time to load the append-only file, while the server lives."""
_STOP = ((signal.SIGTERM, 30.0),)
_PORT_TRIES = 5
_POLL_SECONDS = 0.005
_ANSWER_SECONDS = 2.0

_CONFIG = """\
# Written anew at every start.
bind {host}
port {port}
requirepass {password}
dir {data}
databases 64
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
loglevel warning
"""


class EmbeddedValkey:
    """One server. Call `start` and `stop` from the main thread. Raises StackError if it cannot run."""

    name = "redis"

    def __init__(self, directory: Path, *, password: str, log_path: Path | None = None) -> None:
        self.directory = directory.resolve()
        self.log_path = log_path or self.directory / "valkey.log"
        self._password = password
        self._process: Process | None = None
        self._port: int | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the server."""
        return self._process.pid if self._process else None

    @property
    def url(self) -> str:
        """The URL of database 0. It does not change during the life of this object."""
        if self._port is None:
            raise RuntimeError("not started yet")
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"

    async def start(self) -> None:
        """Start the server. Return when it answers. What an earlier server left running is stopped first."""
        make_directory(self.directory)
        make_directory(self.directory / "data")
        program = find_valkey()
        identity = choose_identity(self.directory, program)
        identity.own(self.directory)
        lock = await take_over(self.directory / "lock", stop_signal=signal.SIGTERM, patience_seconds=30)
        try:
            await self._run(program, identity, lock)
        finally:
            os.close(lock)

    async def wait(self) -> int:
        """Wait until the server ends, for any cause. Return its return code."""
        if self._process is None:
            raise RuntimeError("not started yet")
        return await self._process.wait()

    async def stop(self) -> None:
        """Stop the server. All acknowledged writes are on disk before it ends."""
        if self._process is not None:
            await self._process.stop(_STOP)

    async def _run(self, program: Path, identity: Identity, lock: int) -> None:
        for _ in range(_PORT_TRIES):
            first = self._port is None
            port = claim_port(self.directory / "port") if self._port is None else self._port
            self._launch(program, identity, lock, port)
            if await self._answers(port):
                self._port = port
                return
            # another program took a newly chosen port: choose another. The port of a URL that is in use cannot change.
            if not first or is_free(port):
                break
        raise StackError(f"Valkey failed to start: {last_lines(self.log_path)} (see {self.log_path})")

    def _launch(self, program: Path, identity: Identity, lock: int, port: int) -> None:
        config = self.directory / "valkey.conf"
        data = self.directory / "data"
        write_private(config, _CONFIG.format(host=LOOPBACK, port=port, password=self._password, data=_quoted(data)))
        with open_log(self.log_path) as output:
            self._process = start_process(
                [str(program), str(config)],
                log=output.fileno(),
                death_signal=signal.SIGTERM,
                pass_fds=[lock],
                identity=identity,
                directory=self.directory,
            )
        sign(lock, self._process.pid)

    async def _answers(self, port: int) -> bool:
        """Return True when the server answers, within START_SECONDS; False if it ended."""
        process = self._process
        until = monotonic() + START_SECONDS
        while process is not None and process.returncode is None:
            if await _ping(port, self._password):
                return process.returncode is None
            if monotonic() > until:
                await self.stop()
                break
            await asyncio.sleep(_POLL_SECONDS)
        return False


async def _ping(port: int, password: str) -> bool:
    """Return whether a server accepts this password and has loaded its data."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(f"AUTH {password}\r\nPING\r\n".encode())
                return await reader.readline() == b"+OK\r\n" and await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, TimeoutError):
        return False


def _quoted(path: Path) -> str:
    """Return a path in the syntax of the configuration file."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
