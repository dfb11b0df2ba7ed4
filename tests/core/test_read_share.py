"""A tenant's reads hold a part of the connections at most, and nobody else waits for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from app.core.database import read_share
from app.core.database.db import Database, retry_read
from app.core.database.read_share import ReadShare
from app.core.errors import TooManyReads
from app.core.ids import new_id
from tests.gateway import eventually

READERS = 8
LISTS, POINTS = 2, 4


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, name="test", writers_max=1, readers_max=READERS)
    yield database
    await database.close()


async def settled() -> None:
    """Whatever can go on without a socket has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_tenant_holds_its_share_and_others_pass(database: Database) -> None:
    greedy, other = new_id(), new_id()
    holding = 0
    most = 0
    let_go = asyncio.Event()

    async def read() -> None:
        nonlocal holding, most
        async with database.snapshot(greedy):
            holding += 1
            most = max(most, holding)
            await let_go.wait()
            holding -= 1

    reads = [asyncio.create_task(read()) for _ in range(60)]

    async def full() -> bool:
        return holding == LISTS

    await eventually(full)
    async with asyncio.timeout(60):  # nobody else waits for them, nor do the same tenant's reads of single rows
        async with database.snapshot(other) as session, database.snapshot() as shared:
            assert await session.fetchval("SELECT 1") == await shared.fetchval("SELECT 1")
            async with database.snapshot(greedy, point=True), database.snapshot(greedy, point=True) as third:
                assert await third.fetchval("SELECT 1") == 1
    assert holding == LISTS
    let_go.set()
    async with asyncio.timeout(30):
        await asyncio.gather(*reads)
    assert most == LISTS


async def test_shares_of_a_pool() -> None:
    assert [(ReadShare(n).lists_max, ReadShare(n).points_max) for n in (1, 2, 8, 16)] == [
        (1, 1), (1, 1), (LISTS, POINTS), (4, 8),
    ]  # fmt: skip


async def test_a_line_is_first_come_first_served() -> None:
    share, tenant = ReadShare(READERS), new_id()
    order: list[int] = []

    async def read(number: int) -> None:
        await share.take(tenant, point=False)
        order.append(number)
        await asyncio.sleep(0)
        share.give(tenant)

    async with asyncio.timeout(60):
        await asyncio.gather(*(read(number) for number in range(20)))
    assert order == list(range(20))
    assert share._lines == {}


@pytest.mark.parametrize("point", [False, True])
async def test_who_gives_up_leaves_nothing_behind(point: bool) -> None:
    """Cancelled while it waits, or in the very moment when it is its turn."""
    share, tenant = ReadShare(READERS), new_id()
    for _ in range(share.points_max if point else share.lists_max):
        await share.take(tenant, point=point)
    waits, takes, follows = (asyncio.create_task(share.take(tenant, point=point)) for _ in range(3))
    await settled()
    waits.cancel()
    await settled()
    share.give(tenant)  # it is the second one's turn, which does not know yet
    takes.cancel()
    await settled()
    assert waits.cancelled()
    assert takes.cancelled()
    assert follows.done()
    for _ in range(share.points_max if point else share.lists_max):
        share.give(tenant)
    assert share._lines == {}


async def test_a_line_has_an_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """One read more than may wait is refused at once, and one that has waited too long as well: neither asks again."""
    monkeypatch.setattr(read_share, "WAITING_MAX", 1)
    monkeypatch.setattr(read_share, "WAITING_SECONDS", 0.2)
    tenant = new_id()

    async def read() -> None:
        async with database.snapshot(tenant):
            return

    async with AsyncExitStack() as held, asyncio.timeout(60):
        for _ in range(LISTS):
            await held.enter_async_context(database.snapshot(tenant))
        waits = asyncio.create_task(retry_read(read))
        await settled()
        with pytest.raises(TooManyReads) as refused:
            await retry_read(read)
        assert not waits.done()
        with pytest.raises(TooManyReads):
            await waits
    assert (refused.value.status, refused.value.retry_after_seconds) == (503, 5)
    assert database._share._lines == {}


async def test_a_read_that_fails_gives_back_its_place(database: Database) -> None:
    tenant = new_id()
    for _ in range(3 * READERS):
        with pytest.raises(ZeroDivisionError):
            async with database.snapshot(tenant):
                raise ZeroDivisionError
    assert database._share._lines == {}
