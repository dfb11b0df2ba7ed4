import asyncpg
from redis.asyncio import Redis

from tests.conftest import NewDatabase


async def count(url: str, table: str) -> int:
    """The rows of a table."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
    finally:
        await connection.close()


async def test_a_database_begins_migrated_and_empty(new_database: NewDatabase) -> None:
    url = await new_database()
    assert await count(url, "alembic_version") == 1
    assert await count(url, "jobs") == 0


async def test_databases_of_one_test_are_its_own(database_url: str, new_database: NewDatabase) -> None:
    one, other = await new_database(), await new_database()
    assert len({one, other, database_url}) == 3


async def test_the_redis_database_takes_writes(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        assert await redis.incr("tests.stack") >= 1
        assert await redis.delete("tests.stack") == 1
