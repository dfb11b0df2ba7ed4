"""Two tenants of one stack: one behaves and is measured, the other is hostile, and so is its upstream."""

import asyncio
import contextlib
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import orjson

from app.core import clock
from app.core.database.db import Database
from app.stack.files import read_json
from app.tenants.operations import update_tenant
from tests.chaos.healthy import HEALTHY_MODELS
from tests.chaos.hostile.families import chosen
from tests.chaos.hostile.upstream import MODELS, PRICE, rules
from tests.chaos.stack import Stack, until_async
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import Engine

CREDITS_MICRO: Final = 10**13
REQUESTS_PER_SECOND: Final = 200.0
BYTES_PER_SECOND: Final = 5_000_000.0
CPU_SHARE: Final = 0.3
CALM_SECONDS: Final = 60.0
CHUNK: Final = 2_500
SPEED: Final = 12.0
RUN_SECONDS: Final = 24.0 / SPEED
"""Of every model here: the simulator's default at that speed."""
ROOT: Final = Path(__file__).parents[2]


class Hostile:
    """The hostile tenant, its process while it runs, and what came of all of its runs."""

    def __init__(self, stack: Stack, caller: Caller, *, chance: random.Random) -> None:
        self.only = [name for name in os.environ.get("CHAOS_ONLY", "").split(",") if name]
        self.attacks = chosen(self.only)
        self.used: list[dict[str, float]] = []
        self.told: Counter[str] = Counter()
        self._stack, self._caller, self._chance = stack, caller, chance

    @asynccontextmanager
    async def attacking(self) -> AsyncIterator[None]:
        """It attacks for the length of the block, and its upstream is hostile."""
        await self._stack.faults(*rules())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.chaos.hostile", self._orders()),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield
            assert process.returncode is None, "it attacked all the time"
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            out, err = await process.communicate()
            await self._stack.faults()
        assert process.returncode == 0, err.decode()[-2000:]
        result = orjson.loads(out)
        self.used.append(result["used"])
        self.told.update(result["told"])

    def _orders(self) -> str:
        parts = urlsplit(self._stack.url)
        orders = {
            "host": parts.hostname,
            "port": parts.port,
            "key": self._caller.text,
            "seed": self._chance.getrandbits(32),
            "only": self.only,
            "requests_per_second": REQUESTS_PER_SECOND,
            "bytes_per_second": BYTES_PER_SECOND,
            "cpu_share": CPU_SHARE,
        }
        return orjson.dumps(orders).decode()

    async def calmed(self) -> bool:
        """Its upstream behaves again: wait until its jobs have ended, those whose submission is unknown excepted."""
        sql = "SELECT count(*) FROM jobs WHERE tenant_id = $1 AND finished_at IS NULL AND state <> 'unknown'"

        async def ended() -> bool:
            return int((await self._stack.fetch(sql, self._caller.tenant.id))[0][0]) == 0

        try:
            await until_async(ended, "its jobs have ended", CALM_SECONDS)
        except TimeoutError:
            return False
        return True

    def told_by_attack(self) -> dict[str, dict[str, int]]:
        """How often each attack was told what."""
        by_attack: dict[str, dict[str, int]] = {}
        for name, count in sorted(self.told.items()):
            attack, _, told = name.partition(" ")
            by_attack.setdefault(attack, {})[told] = count
        return by_attack


async def open_tenants(stack: Stack, database: Database, *, past_jobs: int) -> tuple[Caller, Caller]:
    """The healthy tenant, and the hostile one with the limits that every tenant has and so many jobs of the past."""
    secret = (read_json(stack.data / "credentials.json") or {})["secret_key"].split(",")[0].encode()
    healthy, hostile = [await make_caller(database, secret=secret, credits_micro=CREDITS_MICRO) for _ in range(2)]
    async with database.transaction() as session:
        await update_tenant(session, tenant_id=healthy.tenant.id, rate_per_minute=6_000, burst=1_000)
        await update_tenant(session, tenant_id=hostile.tenant.id, max_queued=past_jobs)
    await _give_past(stack, database, hostile, past_jobs)
    async with database.transaction() as session:
        await update_tenant(session, tenant_id=hostile.tenant.id, max_queued=10_000)
    return healthy, hostile


async def _give_past(stack: Stack, database: Database, caller: Caller, jobs: int) -> None:
    """Jobs whose deadline has passed before they were sent, which the workers then end."""
    passed = {"deadline_at": clock.now() - timedelta(seconds=1), "metadata": {"k": "v", "shot": "17"}}
    for done in range(0, jobs, CHUNK):
        await Engine(database).submit(caller, min(CHUNK, jobs - done), model=MODELS[-1], held_micro=1, **passed)
    sql = "SELECT count(*) FROM jobs WHERE tenant_id = $1 AND finished_at IS NULL"

    async def ended() -> bool:
        return int((await stack.fetch(sql, caller.tenant.id))[0][0]) == 0

    await until_async(ended, "the jobs of the past have ended", 300)


async def price_models(stack: Stack) -> None:
    """Put the models into the catalogue; their runs take the same time every time, which is known from the first one."""
    headers = {"authorization": f"Bearer {stack.ready['admin_key']}"}
    async with httpx.AsyncClient(base_url=f"{stack.url}/admin/v1", headers=headers, timeout=30) as client:
        for slug in (*HEALTHY_MODELS, *MODELS):
            answer = await client.put(f"/models/{slug}", json={"price": f"{PRICE:.6f}"})
            assert answer.is_success, answer.text
    async with stack.database() as connection:
        await connection.execute(
            "UPDATE models SET run_seconds = $1 WHERE slug = ANY($2)", RUN_SECONDS, list(HEALTHY_MODELS)
        )
    async with httpx.AsyncClient(base_url=stack.upstream_url, timeout=30) as client:
        assert (await client.patch("/_simulator/config", json={"sigma": 0.0})).is_success
