"""What a measurement stands on: the whole stack on this machine, fifty tenants, and a simulator that keeps no book.

Nothing is tuned for the occasion: the processes are the ones `waystation up` starts, with its settings.
"""

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from app.core.config.settings import PREFIX, split_secrets
from app.core.database.db import Database
from app.ledger.operations import grant
from app.stack.running.plan import UpOptions
from app.stack.running.up import Stack, running
from app.stack_seams import seams
from app.tenants.keys import hash_key
from app.tenants.operations import create_key, create_tenant, update_tenant
from bench.cpu import Usage, usage

TENANTS = 50
SECRET_KEY = "a secret of the bench and of nothing else at all"
MODEL = "bench-model"
"""In no catalogue, so that the simulator runs it as `Runs` says."""


@dataclass(frozen=True, slots=True)
class Runs:
    """How long the upstream runs a job: log-normal."""

    mean_seconds: float
    sigma: float

    def quantile(self, gauss: float) -> float:
        """The run time this many sigmas above the median."""
        return float(self.mean_seconds * 2.718281828 ** (gauss * self.sigma - self.sigma**2 / 2))


EIGHT_POLLS = Runs(mean_seconds=22.0, sigma=0.6)
"""So spread that the learned schedule asks about eight times."""
SHORT = Runs(mean_seconds=4.0, sigma=0.3)
"""As short as the fastest image models: two to three polls."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Everything, running."""

    url: str
    keys: Sequence[str]
    database_url: str
    redis_url: str
    upstream_url: str
    directory: Path
    parts: Mapping[str, Sequence[int]]

    def usage(self, **more: Sequence[int]) -> Usage:
        """CPU by part up to now."""
        return usage({**self.parts, **more})


@asynccontextmanager
async def process(
    *arguments: str, quiet: bool = False, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m arguments…` with pipes, ended on exit. `quiet`: it has nothing to say on standard error."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if quiet else None,
        env={**os.environ, **environment},
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


@asynccontextmanager
async def simulator(runs: Runs) -> AsyncIterator[tuple[str, int]]:
    """The upstream, in memory: (url, process)."""
    async with process("app.cli", "simulator", "--port", "0") as child:
        assert child.stdout is not None
        found = None
        while found is None and (line := await child.stdout.readline()):
            found = re.search(r"http://[\d.:]+", line.decode())
        assert found is not None, "the simulator did not start"
        url = found[0]
        await asyncio.to_thread(_configure, url, runs)
        yield url, child.pid


def _configure(url: str, runs: Runs) -> None:
    changes = {
        "default_run_seconds": runs.mean_seconds,
        "sigma": runs.sigma,
        "queue_mean_seconds": 0.2,
        "credits": 1_000_000_000,
    }
    request = urllib.request.Request(f"{url}/_simulator/config", json.dumps(changes).encode(), method="PATCH")
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200


@asynccontextmanager
async def stand_on(upstream_url: str, upstream_pid: int, *, apis: int = 1, workers: int = 1) -> AsyncIterator[Stand]:
    """The stack on an empty data directory, gone on exit, with an upstream that runs already."""
    os.environ[PREFIX + "UPSTREAM_URL"] = upstream_url
    os.environ[PREFIX + "UPSTREAM_API_KEY"] = "bench"
    os.environ[PREFIX + "SECRET_KEY"] = SECRET_KEY
    directory = Path(tempfile.mkdtemp(prefix="waystation-bench-"))
    options = UpOptions(port=0, data_dir=directory / "data", simulator=False, apis=apis, workers=workers)
    try:
        async with running(Stack(options, seams())) as stack:
            found = stack.describe()
            pids = found["pids"]
            assert pids["postgres"] is not None
            assert pids["redis"] is not None
            yield Stand(
                url=found["url"],
                keys=await _tenants(found["database_url"]),
                database_url=found["database_url"],
                redis_url=found["redis_url"],
                upstream_url=upstream_url,
                directory=directory,
                parts={
                    "api": pids["api"],
                    "worker": pids["worker"],
                    "postgres": [pids["postgres"]],
                    "valkey": [pids["redis"]],
                    "upstream": [upstream_pid],
                },
            )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def stand(runs: Runs, *, apis: int = 1, workers: int = 1) -> AsyncIterator[Stand]:
    """As `stand_on`, with the simulator."""
    async with simulator(runs) as (url, pid), stand_on(url, pid, apis=apis, workers=workers) as on:
        yield on


async def _tenants(database_url: str) -> list[str]:
    """One key of each."""
    secret = split_secrets(SECRET_KEY)[0]
    database = await Database.open(database_url, name="bench", writers_max=1, readers_max=1)
    keys = []
    try:
        for number in range(TENANTS):
            async with database.transaction() as session:
                tenant = await create_tenant(session, name=f"bench-{number}")
                await grant(session, tenant_id=tenant.id, amount_micro=10**14, reference="bench")
                # so wide that they cost what they cost and bind nowhere
                await update_tenant(
                    session,
                    tenant_id=tenant.id,
                    rate_per_minute=10_000_000,
                    burst=10_000_000,
                    max_in_flight=10_000_000,
                    max_queued=100_000_000,
                )
                _key, text = await create_key(session, tenant_id=tenant.id, secret=secret, name="bench")
            assert hash_key(secret, text)
            keys.append(text)
    finally:
        await database.close()
    return keys


class Load:
    """The load generator's process, from the side of who commands it."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self.pid = child.pid

    async def tell(self, **message: object) -> dict[str, Any]:
        """Say something, hear the answer."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(message).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self._child.stdout.readline())
        return answer


@asynccontextmanager
async def load(url: str, keys: Sequence[str], runs: Runs, *, seed: int = 1) -> AsyncIterator[Load]:
    """A load generator that offers nothing yet."""
    async with process("bench.load") as child:
        assert child.stdin is not None
        settings = {
            "url": url,
            "keys": list(keys),
            "model": MODEL,
            "first_read_seconds": runs.quantile(1.3) + 2,
            "next_read_seconds": runs.mean_seconds / 2,
            "seed": seed,
        }
        child.stdin.write(json.dumps(settings).encode() + b"\n")
        yield Load(child)


async def query(database_url: str, sql: str, *args: object) -> list[Any]:
    """Rows, read by the database's owner over a connection of its own."""
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(sql, *args))
    finally:
        await connection.close()
