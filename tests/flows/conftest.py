"""A gateway without its Redis."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import NewDatabase
from tests.doubles.forwarder import forwarding
from tests.gateway import Gateway, running_gateway


@pytest.fixture
async def redisless(new_database: NewDatabase, redis_url: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway of its own, whose Redis is away from the start."""
    async with forwarding(redis_url) as redis:
        redis.cut()
        url = await new_database()
        async with running_gateway(database_url=url, redis_url=redis.url, directory=tmp_path, apis=1) as gateway:
            yield gateway
