"""Whatever is done to the ledger behind the service's back, `verify` finds it and names it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from app.core import clock
from app.core.database.db import Database
from app.core.ids import show_id
from app.jobs.operations import request_cancel
from app.ledger.operations import grant
from tests.factories.callers import Caller
from tests.factories.jobs import Engine, wrong

FREE = """
ALTER TABLE jobs DROP CONSTRAINT jobs_charged_check, DROP CONSTRAINT jobs_free_check;
ALTER TABLE balances DROP CONSTRAINT balances_available_check, DROP CONSTRAINT balances_expiring_check;
ALTER TABLE transfers DISABLE TRIGGER transfers_resolve;
"""
GRANTED = "SELECT id FROM transfers WHERE kind = 'grant' AND expires_at IS NULL"
HELD = "SELECT id FROM transfers WHERE kind = 'hold' AND job_id = '{queued}'"
RELEASED = "SELECT id FROM transfers WHERE kind = 'release'"


@pytest.fixture
async def owner(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    await connection.execute(FREE)
    yield connection
    await connection.close()


@pytest.fixture
async def books(database: Database, engine: Engine, caller: Caller) -> dict[str, UUID]:
    """A queued job, one that was canceled, and a lot that expires, of which a part is held."""
    async with database.transaction() as session:
        await grant(
            session, tenant_id=caller.tenant.id, amount_micro=150_000, reference="lot",
            expires_at=clock.now() + timedelta(days=1),
        )  # fmt: skip
    [queued] = await engine.submit(caller)
    [canceled] = await engine.submit(caller)
    async with database.transaction() as session:
        await request_cancel(session, tenant_id=caller.tenant.id, job_id=canceled)
    return {"queued": queued, "canceled": canceled, "tenant": caller.tenant.id}


async def test_the_books_are_right(database: Database, books: dict[str, UUID]) -> None:
    async with database.snapshot() as session:
        row = await session.fetchrow("SELECT * FROM balances WHERE tenant_id = $1", books["tenant"])
    assert row is not None
    assert (row["granted"], row["held"], row["expiring"]) == (1_000_150_000, 100_000, 50_000)
    assert not await wrong(database)


@pytest.mark.parametrize(
    ("name", "whose", "tampering"),
    [
        ("balances", "tenant", f"UPDATE transfers SET amount = amount + 1 WHERE id = ({GRANTED})"),
        ("balances", "tenant", f"UPDATE transfers SET amount = amount - 1 WHERE id = ({HELD})"),
        ("balances", "tenant", f"DELETE FROM transfers WHERE id = ({GRANTED})"),
        ("balances", "tenant", "UPDATE balances SET granted = granted + 1"),
        ("balances", "tenant", "UPDATE balances SET posted = posted + 1"),
        ("balances", "tenant", "UPDATE balances SET held = held + 1"),
        ("available", "tenant", "UPDATE balances SET overdraft = 0, posted = granted + 1"),
        ("available", "tenant", "ALTER TABLE lots DROP CONSTRAINT lots_tenant_id_fkey;"
         " ALTER TABLE usage_hours DROP CONSTRAINT usage_hours_tenant_id_fkey; DELETE FROM balances"),
        ("holds", "queued", f"DELETE FROM transfers WHERE id = ({HELD})"),
        ("holds", "queued", "UPDATE jobs SET held_micro = held_micro - 1 WHERE id = '{queued}'"),
        ("holds", "canceled", f"DELETE FROM transfers WHERE id = ({RELEASED})"),
        ("resolutions", None, f"UPDATE transfers SET amount = amount - 1 WHERE id = ({RELEASED})"),
        ("resolutions", None, f"UPDATE transfers SET job_id = '{{queued}}' WHERE id = ({RELEASED})"),
        ("charges", "canceled", "UPDATE jobs SET charged_micro = 1 WHERE id = '{canceled}'"),
        ("charges", "canceled", f"UPDATE transfers SET kind = 'post' WHERE id = ({RELEASED})"),
        ("lots", "tenant", "UPDATE lots SET left_micro = left_micro + 1"),
        ("lots", "tenant", "UPDATE balances SET expiring = expiring - 1"),
        ("lots", "tenant", "UPDATE lots SET amount = amount + 1"),
        ("exposed", "canceled", "UPDATE jobs SET cost_micro = 1 WHERE id = '{canceled}'"),
        ("usage", "tenant", "UPDATE usage_hours SET charged_micro = 1"),
    ],
)  # fmt: skip
async def test_tampering_is_found_and_named(
    database: Database, owner: asyncpg.Connection, books: dict[str, UUID], name: str, whose: str | None, tampering: str
) -> None:
    await owner.execute(tampering.format(**books))
    found = await wrong(database)
    assert name in found
    if whose is not None:
        shown = str(books["tenant"]) if whose == "tenant" else show_id("job", books[whose])
        assert found[name] == (1, [shown])
