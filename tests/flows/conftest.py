"""A gateway without its Redis, and the official SDK in its versions."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import NewDatabase
from tests.doubles.forwarder import forwarding
from tests.flows.sdk import VERSIONS, Sdk, install
from tests.gateway import Gateway, running_gateway


@pytest.fixture
async def redisless(new_database: NewDatabase, redis_url: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway of its own, whose Redis is away from the start."""
    async with forwarding(redis_url) as redis:
        redis.cut()
        url = await new_database()
        async with running_gateway(database_url=url, redis_url=redis.url, directory=tmp_path, apis=1) as gateway:
            yield gateway


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the versions are kept: for good where there is a cache, else for the processes of this run."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    if cache is not None:
        return cache.mkdir("sdk")
    shared = tmp_path_factory.getbasetemp().parent / "sdk"
    shared.mkdir(exist_ok=True)
    return shared


@pytest.fixture(scope="session", params=VERSIONS)
async def sdk(request: pytest.FixtureRequest, stack: Gateway, installed: Path) -> Sdk:
    return Sdk(await asyncio.to_thread(install, request.param, installed), url=stack.url)


@pytest.fixture(scope="session")
async def newest(stack: Gateway, installed: Path) -> Sdk:
    """For what is the same in all of them."""
    return Sdk(await asyncio.to_thread(install, VERSIONS[-1], installed), url=stack.url)
