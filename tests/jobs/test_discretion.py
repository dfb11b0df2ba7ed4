"""A worker writes down every balance that it reads."""

import asyncio

import asyncpg

from app.core.database.db import Database
from app.core.process.cancel import cancel_all
from app.jobs.admin.originals import OriginalsVault
from app.jobs.observing.discretion import Discretion
from app.upstream.account import UpstreamCredits
from tests.conftest import NewDatabase
from tests.gateway import eventually


async def test_a_balance_that_is_read_while_others_are_written_is_written_next(new_database: NewDatabase) -> None:
    url = await new_database()
    database = await Database.open(url, name="test", writers_max=2, readers_max=1)
    owner, looking = await asyncpg.connect(url), await asyncpg.connect(url)
    discretion = Discretion(database, OriginalsVault([b"k" * 32]))
    running = asyncio.create_task(discretion.pump.run())

    async def waits() -> bool:
        waiting = (
            "query LIKE 'INSERT INTO upstream_balances%' AND wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(await looking.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}"))

    async def written(*micros: int) -> bool:
        found = await looking.fetch("SELECT micro FROM upstream_balances")
        return {row["micro"] for row in found} >= set(micros)

    try:
        discretion.read(UpstreamCredits(3_000_000, 0))
        await eventually(lambda: written(3_000_000))
        async with owner.transaction():
            await owner.execute("LOCK TABLE upstream_balances")
            discretion.read(UpstreamCredits(1_000_000, 0))
            await eventually(waits)
            discretion.read(UpstreamCredits(2_000_000, 0))
        assert await eventually(lambda: written(1_000_000, 2_000_000), seconds=60)
    finally:
        await cancel_all([running])
        await owner.close()
        await looking.close()
        await database.close()
