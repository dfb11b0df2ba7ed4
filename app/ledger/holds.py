"""Holds: write the holds of a group of jobs together. `Account.admit` has decided on each of them before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.core.ids import derived_id
from app.ledger.decide import Account, Budget, Hold, Lot, draw
from app.ledger.models import TransferKind
from app.ledger.rows import Drawn, LotRow, NewHold, Spent


@dataclass(frozen=True, slots=True)
class BudgetAlert:
    """A budget has reached this percentage for the first time in its period."""

    tenant_id: UUID
    subject_id: UUID
    period: str
    percent: int


_SQL = SqlFolder(__file__)
_HOLD_CREDITS = _SQL.command("hold_credits")
_LIST_FREE_LOTS = _SQL.query("list_free_lots", LotRow)
_ALLOCATE_LOTS = _SQL.command("allocate_lots")
_SPEND_BUDGETS = _SQL.query("spend_budgets", BudgetAlert)


def hold_id_of(job_id: UUID) -> UUID:
    """The id of a job's hold."""
    return derived_id(job_id, TransferKind.HOLD)


async def hold(session: Session, *, accounts: Mapping[UUID, Account], holds: Sequence[Hold]) -> None:
    """Write these holds. The `accounts` are locked and have admitted them. One statement if no account has expiring credit."""
    rows = [NewHold(hold_id_of(hold.job_id), hold.tenant_id, hold.job_id, hold.key_id, hold.amount) for hold in holds]
    await _draw(session, accounts, holds)
    await session.run(_HOLD_CREDITS, **columns_of(NewHold, rows))


async def _draw(session: Session, accounts: Mapping[UUID, Account], holds: Sequence[Hold]) -> None:
    """Draw on the lots of the accounts that have expiring credit."""
    with_lots = [tenant_id for tenant_id, account in accounts.items() if account.balance.expiring]
    if not with_lots:
        return
    lots: dict[UUID, list[Lot]] = {}
    for free in await session.rows(_LIST_FREE_LOTS, tenant_ids=with_lots):
        lots.setdefault(free.tenant_id, []).append(Lot(free.id, free.left_micro))
    drawn = []
    for hold in holds:
        mine = lots.get(hold.tenant_id, [])
        taken = dict(draw(mine, hold.amount))
        lots[hold.tenant_id] = [Lot(lot.id, lot.left - taken.get(lot.id, 0)) for lot in mine]
        drawn += [Drawn(hold_id_of(hold.job_id), lot_id, amount, hold.tenant_id) for lot_id, amount in taken.items()]
    if drawn:
        await session.run(_ALLOCATE_LOTS, **columns_of(Drawn, drawn))


async def spend(session: Session, *, accounts: Mapping[UUID, Account]) -> list[BudgetAlert]:
    """Write the spending of the accounts' budgets. Returns the new alerts. No statement if there are no budgets."""
    budgets: list[Budget] = [budget for account in accounts.values() for budget in account.budgets]
    if not budgets:
        return []
    rows = [
        Spent(budget.subject_id, budget.period, budget.starts_on, budget.spent, budget.reached_percent)
        for budget in budgets
    ]
    return await session.rows(_SPEND_BUDGETS, **columns_of(Spent, rows))
