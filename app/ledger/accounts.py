"""Locked accounts: a transaction that moves credits first locks the balances, in the order of the tenant ids."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder, columns_of
from app.core.ids import derived_id
from app.ledger.decide import Account
from app.ledger.models import TransferKind
from app.ledger.rows import BudgetRow, Expired, LockedBalance, LotRow, ReadBalance

_SQL = SqlFolder(__file__)
_LOCK_BALANCES = _SQL.query("lock_balances", LockedBalance)
_FIND_ACCOUNT = _SQL.query("find_account", ReadBalance)
_LIST_DUE_LOTS = _SQL.query("list_due_lots", LotRow)
_CLOSE_LOTS = _SQL.command("close_lots")
_EXPIRE_CREDITS = _SQL.command("expire_credits")
_LIST_BUDGETS = _SQL.query("list_budgets", BudgetRow)
_LIST_TENANTS_WITH_DUE_LOTS = _SQL.query("list_tenants_with_due_lots", UUID)


async def lock_accounts(session: Session, *, tenant_ids: Iterable[UUID]) -> dict[UUID, Account]:
    """Lock the accounts of these tenants until the transaction ends, and remove expired credit. Returns them by tenant id.
    One statement if nothing has expired."""
    rows = await session.rows(_LOCK_BALANCES, tenant_ids=list(set(tenant_ids)))
    accounts = {row.tenant_id: Account(row, has_lots=row.has_lots, has_budgets=row.has_budgets) for row in rows}
    due = [row.tenant_id for row in rows if row.expires]
    if due:
        await _expire_due(session, accounts, due)
    return accounts


async def look_at_account(session: ReadSession, *, tenant_id: UUID, key_id: UUID) -> Account:
    """A tenant's account with the budgets of the tenant and of this key, without a lock: other transactions may spend the
    credits. One statement if there are no budgets."""
    row = await session.get_row(_FIND_ACCOUNT, tenant_id=tenant_id)  # every tenant has a balance
    account = Account(row, has_budgets=row.has_budgets)
    await load_budgets(session, accounts={tenant_id: account}, key_ids=[key_id])
    return account


async def load_budgets(session: ReadSession, *, accounts: dict[UUID, Account], key_ids: Iterable[UUID]) -> None:
    """Add to the accounts the budgets of their tenants and of these keys. No statement if no account has budgets."""
    tenant_ids = [tenant_id for tenant_id, account in accounts.items() if account.has_budgets]
    if tenant_ids:
        for row in await session.rows(_LIST_BUDGETS, tenant_ids=tenant_ids, key_ids=list(set(key_ids))):
            accounts[row.tenant_id].budgets.append(row.budget())


async def _expire_due(session: Session, accounts: dict[UUID, Account], tenant_ids: Sequence[UUID]) -> None:
    lots = await session.rows(_LIST_DUE_LOTS, tenant_ids=list(tenant_ids))
    await session.run(_CLOSE_LOTS, lot_ids=[lot.id for lot in lots])
    gone = [lot for lot in lots if lot.left_micro]
    expired = [
        Expired(derived_id(lot.id, TransferKind.EXPIRE), lot.tenant_id, lot.id, lot.left_micro, None, was_free=True)
        for lot in gone
    ]
    await session.run(_EXPIRE_CREDITS, **columns_of(Expired, expired))
    for lot in gone:
        balance = accounts[lot.tenant_id].balance
        balance.granted -= lot.left_micro
        balance.expiring -= lot.left_micro


async def expire_returned(session: Session, *, rows: Sequence[tuple[UUID, UUID, int, UUID]]) -> None:
    """Remove credit that came back to expired lots. rows: (tenant id, lot id, amount, job id). One statement."""
    expired = [
        Expired(
            derived_id(job_id, f"{TransferKind.EXPIRE} {lot_id}"), tenant_id, lot_id, amount, job_id, was_free=False
        )
        for tenant_id, lot_id, amount, job_id in rows
    ]
    await session.run(_EXPIRE_CREDITS, **columns_of(Expired, expired))


async def expire_due(session: Session, *, lots_max: int) -> int:
    """Remove the credits left in expired lots, of up to `lots_max` tenants. Returns the number of tenants. For the sweep."""
    tenant_ids = await session.values(_LIST_TENANTS_WITH_DUE_LOTS, tenants_max=lots_max)
    if tenant_ids:
        await lock_accounts(session, tenant_ids=tenant_ids)
    return len(tenant_ids)
