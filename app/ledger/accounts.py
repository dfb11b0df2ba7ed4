"""Accounts under lock: whoever moves credits holds the balances first, in the order of their tenants' ids."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from app.core.db import ReadSession, Row, Session, columns
from app.core.ids import derived_id
from app.ledger.decide import Account, Balance, Budget
from app.ledger.models import Kind, Period

_LOCK = """
SELECT
    tenant_id, granted, posted, held, overdraft, expiring,
    EXISTS (SELECT FROM lots WHERE lots.tenant_id = balances.tenant_id) AS has_lots,
    EXISTS (
        SELECT FROM lots
        WHERE lots.tenant_id = balances.tenant_id AND lots.expired_at IS NULL AND lots.expires_at <= now()
    ) AS expires,
    EXISTS (SELECT FROM budgets WHERE budgets.tenant_id = balances.tenant_id) AS has_budgets
FROM balances WHERE tenant_id = ANY($1::uuid[])
ORDER BY tenant_id
FOR UPDATE OF balances
"""

# As they stand; what is left of lots whose time is over is as good as gone.
_LOOK = """
SELECT
    tenant_id, granted - due.amount AS granted, posted, held, overdraft, expiring - due.amount AS expiring,
    EXISTS (SELECT FROM budgets WHERE budgets.tenant_id = balances.tenant_id) AS has_budgets
FROM balances CROSS JOIN LATERAL (
    SELECT coalesce(sum(left_micro), 0)::bigint AS amount FROM lots
    WHERE lots.tenant_id = balances.tenant_id AND lots.expired_at IS NULL AND lots.expires_at <= now()
) AS due
WHERE tenant_id = $1
"""

# What is free in lots whose time is over? The balances are locked.
_DUE_LOTS = """
SELECT id, tenant_id, left_micro FROM lots
WHERE tenant_id = ANY($1::uuid[]) AND expired_at IS NULL AND expires_at <= now()
ORDER BY tenant_id, id
"""

_CLOSE_LOTS = "UPDATE lots SET left_micro = 0, expired_at = now() WHERE id = ANY($1::uuid[])"

# Take away what has expired.
_EXPIRE = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::uuid[], $6::boolean[])
        AS t (id, tenant_id, lot_id, amount, job_id, was_free)
), made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, lot_id, job_id)
    SELECT id, tenant_id, 'expire', amount, lot_id, job_id FROM asked
), summed AS (
    SELECT tenant_id, sum(amount)::bigint AS amount, sum(amount) FILTER (WHERE was_free)::bigint AS freed
    FROM asked GROUP BY tenant_id
)
UPDATE balances SET granted = granted - summed.amount, expiring = expiring - coalesce(summed.freed, 0)
FROM summed WHERE balances.tenant_id = summed.tenant_id
"""

# Budgets over these balances, which are locked; a period that is over begins anew.
_BUDGETS = """
WITH today AS (SELECT (now() AT TIME ZONE 'UTC')::date AS day),
current AS (
    SELECT
        budgets.*,
        CASE period WHEN 'day' THEN today.day ELSE date_trunc('month', today.day)::date END AS began_on
    FROM budgets CROSS JOIN today
    WHERE tenant_id = ANY($1::uuid[]) AND (tenant_id = subject_id OR subject_id = ANY($2::uuid[]))
)
SELECT
    subject_id, period, tenant_id, limit_micro, began_on AS starts_on,
    CASE WHEN starts_on < began_on THEN 0 ELSE spent_micro END AS spent_micro,
    CASE WHEN starts_on < began_on THEN 0 ELSE alerted_percent END AS alerted_percent
FROM current
ORDER BY subject_id, period
"""


async def lock_accounts(session: Session, *, tenant_ids: Iterable[UUID]) -> dict[UUID, Account]:
    """The accounts of these tenants, locked until the transaction ends, with what has expired taken away. One statement
    where nothing has."""
    rows = await session.fetch(_LOCK, list(set(tenant_ids)))
    accounts = {
        row["tenant_id"]: Account(balance_of(row), has_lots=row["has_lots"], has_budgets=row["has_budgets"])
        for row in rows
    }
    due = [row["tenant_id"] for row in rows if row["expires"]]
    if due:
        await _expire_due(session, accounts, due)
    return accounts


async def look_at_account(session: ReadSession, *, tenant_id: UUID, key_id: UUID) -> Account:
    """A tenant's account with the budgets over it and over this key, as they stand and not locked: another may spend what
    is there. One statement where there are no budgets."""
    row = await session.fetchrow(_LOOK, tenant_id)
    assert row is not None, "every tenant has a balance"
    account = Account(balance_of(row), has_budgets=row["has_budgets"])
    await load_budgets(session, accounts={tenant_id: account}, key_ids=[key_id])
    return account


async def load_budgets(session: ReadSession, *, accounts: dict[UUID, Account], key_ids: Iterable[UUID]) -> None:
    """Give the locked accounts the budgets over them and over these keys. No statement where there are none."""
    tenant_ids = [tenant_id for tenant_id, account in accounts.items() if account.has_budgets]
    if tenant_ids:
        for row in await session.fetch(_BUDGETS, tenant_ids, list(set(key_ids))):
            accounts[row["tenant_id"]].budgets.append(_budget(row))


def balance_of(row: Row) -> Balance:
    """The balance in a row that was locked."""
    return Balance(
        row["tenant_id"], row["granted"], row["posted"], row["held"], row["overdraft"], row["expiring"]
    )  # fmt: skip


def _budget(row: Row) -> Budget:
    return Budget(
        row["subject_id"], Period(row["period"]), row["starts_on"], row["limit_micro"], row["spent_micro"],
        row["alerted_percent"],
    )  # fmt: skip


async def _expire_due(session: Session, accounts: dict[UUID, Account], tenant_ids: Sequence[UUID]) -> None:
    rows = await session.fetch(_DUE_LOTS, list(tenant_ids))
    await session.execute(_CLOSE_LOTS, [row["id"] for row in rows])
    gone = [(row["tenant_id"], row["id"], row["left_micro"]) for row in rows if row["left_micro"]]
    await session.execute(
        _EXPIRE,
        *columns([(derived_id(lot_id, Kind.EXPIRE), tenant_id, lot_id, amount, None, True)
                  for tenant_id, lot_id, amount in gone], 6),
    )  # fmt: skip
    for tenant_id, _, amount in gone:
        balance = accounts[tenant_id].balance
        balance.granted -= amount
        balance.expiring -= amount


async def expire_returned(session: Session, *, rows: Sequence[tuple[UUID, UUID, int, UUID]]) -> None:
    """Take away what came back to lots that have expired: tenant, lot, amount, job. One statement."""
    made = [
        (derived_id(job_id, f"{Kind.EXPIRE} {lot_id}"), tenant_id, lot_id, amount, job_id, False)
        for tenant_id, lot_id, amount, job_id in rows
    ]
    await session.execute(_EXPIRE, *columns(made, 6))


async def expire_due(session: Session, *, most: int) -> int:
    """Take away what is left of lots whose time is over, of up to `most` tenants; gives how many lots. For the sweep."""
    due = await session.fetch(
        "SELECT DISTINCT tenant_id FROM (SELECT tenant_id FROM lots WHERE expired_at IS NULL AND expires_at <= now()"
        " ORDER BY expires_at LIMIT $1) AS soonest",
        most,
    )
    if due:
        await lock_accounts(session, tenant_ids=[row["tenant_id"] for row in due])
    return len(due)
