"""Servers that speak Redis' protocol, and Sentinels, as processes: Valkey of the extra `stack`, and what PATH has."""

import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.stack.processes.process import Process, start_process
from app.stack.servers.binaries import find_valkey
from tests.deploy.tools import loopback
from tests.gateway import eventually

PORT, TLS_PORT, SENTINEL_PORT = 6379, 6380, 26379
START_SECONDS = 60.0
PROGRAMS = ("extra stack", "redis-server", "valkey-server")


def find_server(name: str) -> str:
    """One of PROGRAMS; skips the test where it is not installed."""
    found = str(find_valkey()) if name == PROGRAMS[0] else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install {name})")
    return found


@contextlib.asynccontextmanager
async def redis_server(
    program: str, directory: Path, *lines: str, sentinel: bool = False, login: dict[str, Any] | None = None
) -> AsyncIterator[tuple[str, Process]]:
    """A server on an address of its own, which it gives with its process. `lines`: of its configuration; `login`: how to ask
    it whether it is there, as arguments of redis-py."""
    address = loopback()
    port = SENTINEL_PORT if sentinel else PORT
    directory.mkdir(exist_ok=True)
    # on a loopback address of its own others would take it to be where its connections come from
    own = [f"sentinel announce-ip {address}"] if sentinel else ['save ""', f"replica-announce-ip {address}"]
    common = (f"bind {address}", f"port {port}", f"dir {directory}", *own)
    (directory / "server.conf").write_text("\n".join((*common, *lines, "")))
    command = [program, str(directory / "server.conf"), *(["--sentinel"] if sentinel else [])]
    log = directory / "log"
    with log.open("wb") as output:
        process = start_process(
            command, log=output.fileno(), death_signal=signal.SIGKILL, environment={"PATH": os.environ["PATH"]}
        )

    async def answers() -> bool:
        assert process.returncode is None, log.read_text()
        async with Redis(host=address, port=port, **(login or {})) as redis:
            with contextlib.suppress(RedisError, OSError):
                return bool(await redis.ping())
        return False

    try:
        await eventually(answers, seconds=START_SECONDS)
        yield address, process
    finally:
        await process.stop([(signal.SIGTERM, 10)])
