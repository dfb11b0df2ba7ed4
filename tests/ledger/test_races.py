"""A hold is resolved once, whoever comes first: its charge, its release, or the end of the credit it was drawn from."""

import asyncio
import os
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.core import clock
from app.core.database.db import Database
from app.core.ids import new_id
from app.ledger.accounts import lock_accounts
from app.ledger.decide import Hold
from app.ledger.holds import hold
from app.ledger.operations import grant
from app.ledger.settling import Settlement, settle
from app.ops.money import OF_MONEY
from app.tenants.operations import create_tenant

RACES = int(os.environ.get("LEDGER_RACES", "300"))
SIDE_BY_SIDE = 4
HELD, CHARGED, GRANTED = 1_000, 700, 1_500


async def _tenant(database: Database) -> UUID:
    async with database.transaction() as session:
        return (await create_tenant(session, name=f"t{uuid4().hex}")).id


def _settlement(tenant_id: UUID, job_id: UUID, *, charged: int) -> Settlement:
    return Settlement(
        job_id=job_id, tenant_id=tenant_id, key_id=None, model="m", outcome="completed" if charged else "failed",
        ended_at=clock.now(), held=HELD, charged=charged, cost=None, run_seconds=None,
    )  # fmt: skip


async def _race(database: Database, tenant_id: UUID) -> str:
    """One hold on credit that expires; three at once. Gives who resolved it."""
    job_id = new_id()
    async with database.transaction() as session:
        lot, _ = await grant(
            session, tenant_id=tenant_id, amount_micro=GRANTED, reference=job_id.hex,
            expires_at=clock.now() + timedelta(days=1),
        )  # fmt: skip
        accounts = await lock_accounts(session, tenant_ids=[tenant_id])
        one = Hold(job_id, tenant_id, None, HELD)
        assert accounts[tenant_id].admit(one) is None
        await hold(session, accounts=accounts, holds=[one])
        await session.execute("UPDATE lots SET expires_at = now() WHERE id = $1", lot.id)

    async def resolve(charged: int) -> str | None:
        try:
            async with database.transaction() as session:
                await settle(session, settlements=[_settlement(tenant_id, job_id, charged=charged)])
        except asyncpg.IntegrityConstraintViolationError:
            return None
        return "post" if charged else "release"

    async def expire() -> None:
        async with database.transaction() as session:
            await lock_accounts(session, tenant_ids=[tenant_id])

    posted, released, _ = await asyncio.gather(resolve(CHARGED), resolve(0), expire())
    winners = [winner for winner in (posted, released) if winner]
    assert len(winners) == 1, "one of the two, and not both"
    await expire()  # what came back before the end was seen goes now
    return winners[0]


async def _balance(database: Database, tenant_id: UUID) -> tuple[int, int, int, int]:
    async with database.snapshot() as session:
        row = await session.fetchrow(
            "SELECT granted, posted, held, expiring FROM balances WHERE tenant_id = $1", tenant_id
        )
    assert row is not None
    return tuple(row)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_post_release_and_expiry_race_and_one_wins(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    async def races(count: int) -> list[str]:
        tenant_id = await _tenant(database)
        won = [await _race(database, tenant_id) for _ in range(count)]
        posts = won.count("post")
        # all of it has expired but what was posted; nothing is held, nothing left
        assert await _balance(database, tenant_id) == (posts * CHARGED, posts * CHARGED, 0, 0)
        return won

    rounds = await asyncio.gather(*(races(RACES // SIDE_BY_SIDE) for _ in range(SIDE_BY_SIDE)))
    won = [winner for some in rounds for winner in some]
    with capsys.disabled():
        print(f" {len(won)} races: {won.count('post')} posts, {won.count('release')} releases, never both")
    assert len(won) == RACES // SIDE_BY_SIDE * SIDE_BY_SIDE
    assert set(won) <= {"post", "release"}
    async with database.snapshot() as session:
        wrong = {
            one.name: (await one.count(session)).wrong
            for one in OF_MONEY
            if one.name
            in (  # type: ignore[index]
                "balances",
                "available",
                "resolutions",
                "lots",
                "usage",
            )
        }
    assert set(wrong.values()) == {0}, wrong


async def test_the_schema_refuses_what_the_code_never_asks(database: Database, url: str) -> None:
    tenant_id, job_id = await _tenant(database), new_id()
    owner = await asyncpg.connect(url)
    try:
        await owner.execute("UPDATE balances SET granted = 10 WHERE tenant_id = $1", tenant_id)
        hold_id = await owner.fetchval(
            "INSERT INTO transfers (id, tenant_id, kind, amount, job_id) VALUES ($1, $2, 'hold', 10, $3) RETURNING id",
            new_id(), tenant_id, job_id,
        )  # fmt: skip
        resolution = (
            "INSERT INTO transfers (id, tenant_id, kind, amount, job_id, hold_id) VALUES ($1, $2, $3, $4, $5, $6)"
        )
        for kind, amount, job in (("post", 11, job_id), ("release", 9, job_id), ("post", 10, new_id())):
            with pytest.raises(asyncpg.CheckViolationError) as refused:
                await owner.execute(resolution, new_id(), tenant_id, kind, amount, job, hold_id)
            assert refused.value.constraint_name == "transfers_resolve"
        await owner.execute(resolution, new_id(), tenant_id, "post", 4, job_id, hold_id)
        with pytest.raises(asyncpg.UniqueViolationError):
            await owner.execute(resolution, new_id(), tenant_id, "release", 10, job_id, hold_id)
        for change in ("held = 11", "posted = 11", "granted = -1", "expiring = 11", "expiring = -1"):
            with pytest.raises(asyncpg.CheckViolationError):
                await owner.execute(f"UPDATE balances SET {change} WHERE tenant_id = $1", tenant_id)
    finally:
        await owner.close()


@pytest.mark.parametrize(
    "statement", ["UPDATE transfers SET amount = 1", "DELETE FROM transfers", "TRUNCATE transfers"]
)
async def test_the_service_cannot_change_a_transfer(database: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction() as session:
            await session.execute(statement)
