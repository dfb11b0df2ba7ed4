"""An empty database with a priced model, and the real command against a simulator."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from app.core.database.db import Database
from app.simulator.config import SimulatorConfig
from app.simulator.surface.serve import RunningSimulator, running_simulator
from tests.command import run
from tests.jobs.conftest import caller, database, engine, url
from tests.reconciliation.books import KEY
from tests.reconciliation.conftest import books
from tests.test_cli import SECRET_KEY

__all__ = ["books", "caller", "database", "engine", "url"]

Probe = Callable[..., Awaitable[dict[str, Any]]]
MODELS = "INSERT INTO models (slug, price_micro) SELECT unnest($1::text[]), 20000 ON CONFLICT (slug) DO UPDATE SET price_micro = 20000"


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running_simulator(SimulatorConfig(seed=7, queue_mean_seconds=0.2, api_keys=(KEY,))) as running:
        yield running


@pytest.fixture
def settings(url: str, sim: RunningSimulator) -> dict[str, str]:
    return {
        "DATABASE_URL": url, "UPSTREAM_URL": sim.url, "UPSTREAM_HISTORY_URL": sim.url, "UPSTREAM_API_KEY": KEY,
        "SECRET_KEY": SECRET_KEY,
    }  # fmt: skip


@pytest.fixture
async def probe(database: Database, settings: dict[str, str]) -> Probe:
    """`waystation doctor --probe MODEL --max-cost 0.05 --json` with these options: what it prints, and its exit code. example: no input is given."""
    async with database.statement() as session:
        await session.execute(
            MODELS, ["sim-instant", "sim-fail", "sim-text", "sim-video", "sim-hang", "sim-unknown", "sim-reject"]
        )

    async def probed(
        model: str, *options: str, cost: str = "0.05", example: bool = False, **more: str
    ) -> dict[str, Any]:
        if not any(one.startswith("--input") for one in options) and not example:
            options = (*options, "--input", "prompt=a cat")
        asked = ("doctor", "--probe", model, "--max-cost", cost, "--json", *options)
        done = await asyncio.to_thread(run, *asked, **(settings | more))
        assert KEY not in done.stdout + done.stderr
        told = json.loads(done.stdout) if done.stdout else {"error": done.stderr}
        return told | {"exit_code": done.returncode}

    return probed
