"""A beat says how many live: of one kind, heard of within a lease, not ended in order."""

from uuid import UUID

from app.core.database.db import Database
from app.core.ids import new_id
from app.core.process.heartbeat import beat, stop_beating
from tests.conftest import NewDatabase


async def test_a_beat_counts_those_that_live(new_database: NewDatabase) -> None:
    database = await Database.open(await new_database(), name="test", writers_max=1, readers_max=1)
    one, other, worker = new_id(), new_id(), new_id()

    async def living(process_id: UUID, kind: str = "api", lease_seconds: float = 15.0) -> int:
        async with database.statement() as session:
            return (await beat(session, process_id=process_id, kind=kind, lease_seconds=lease_seconds))[0]

    try:
        assert [await living(one), await living(one), await living(other), await living(one)] == [1, 1, 2, 2]
        assert await living(worker, "worker") == 1
        assert await living(one) == 2
        async with database.transaction() as session:
            await session.execute("UPDATE processes SET beat_at = now() - interval '3 s' WHERE id = $1", other)
        assert [await living(one), await living(one, lease_seconds=2.0)] == [2, 1]
        assert await living(other) == 2
        async with database.transaction() as session:
            await stop_beating(session, process_id=other)
        assert await living(one) == 1
    finally:
        await database.close()
