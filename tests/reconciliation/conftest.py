"""As for jobs: an empty database, a tenant, a worker's hand without a worker; and a simulator that it has sent jobs to."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.core.database.db import Database
from app.simulator.config import SimulatorConfig
from app.simulator.surface.serve import RunningSimulator, running_simulator
from tests.factories.callers import Caller
from tests.factories.jobs import Engine
from tests.jobs.conftest import caller, database, engine, url
from tests.reconciliation.books import KEY, Books

__all__ = ["caller", "database", "engine", "url"]


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running_simulator(SimulatorConfig(speed=1000, seed=7, api_keys=(KEY,))) as running:
        yield running


@pytest.fixture
async def books(database: Database, engine: Engine, caller: Caller, sim: RunningSimulator) -> AsyncIterator[Books]:
    made = Books(database=database, engine=engine, caller=caller, sim=sim)
    yield made
    await asyncio.gather(*made.closing())
