"""Holding: a group of jobs' quotes is set apart in one go, each judged on its own by `Account.admit` beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.core.db import Session
from app.core.ids import derived_id
from app.core.sql import SqlFolder, columns_of
from app.ledger.decide import Account, Budget, Hold, Lot, draw
from app.ledger.models import Kind
from app.ledger.rows import Drawn, LotRow, NewHold, Spent


@dataclass(frozen=True, slots=True)
class BudgetAlert:
    """A budget has come to so many per cent, for the first time in its period."""

    tenant_id: UUID
    subject_id: UUID
    period: str
    percent: int


_SQL = SqlFolder(__file__)
_HOLD_CREDITS = _SQL.command("hold_credits")
_LIST_FREE_LOTS = _SQL.query("list_free_lots", LotRow)
_ALLOCATE_LOTS = _SQL.command("allocate_lots")
_SPEND_BUDGETS = _SQL.query("spend_budgets", BudgetAlert)


def fits_ctes(lock: str) -> str:
    """CTEs for a statement that stores jobs where all holds of their tenant fit, and there is nobody to be judged.

    It has CTEs `holds (id, tenant_id, job_id, key_id, amount)` and `roomy (tenant_id)`, who may store anything at all,
    before these, and stores its own rows of the tenants in `fits`. Tenants with budgets or credit that expires are not
    among these; they take the longer way. Nor are those whose balances are passed over by this `lock`. All of a balance is
    written as it was read under lock: an UPDATE judges CHECKs by the row that its statement saw first, before it finds
    that another has changed it.
    """
    return f"""locked AS MATERIALIZED (
    SELECT tenant_id, granted, posted, held, overdraft, expiring FROM balances
    WHERE tenant_id = ANY (ARRAY(SELECT tenant_id FROM roomy)) ORDER BY tenant_id {lock}
), fits AS MATERIALIZED (
    SELECT locked.*, amount
    FROM locked JOIN (SELECT tenant_id, sum(amount)::bigint AS amount FROM holds GROUP BY tenant_id) AS needed USING (tenant_id)
    WHERE granted - posted - held + overdraft >= amount AND expiring = 0
        AND NOT EXISTS (SELECT FROM budgets WHERE budgets.tenant_id = locked.tenant_id)
), made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, job_id, key_id)
    SELECT id, tenant_id, 'hold', amount, job_id, key_id FROM holds WHERE tenant_id IN (SELECT tenant_id FROM fits)
), set_apart AS (
    UPDATE balances SET
        granted = fits.granted, posted = fits.posted, held = fits.held + fits.amount, overdraft = fits.overdraft,
        expiring = fits.expiring
    FROM fits WHERE balances.tenant_id = fits.tenant_id
)"""  # noqa: S608


def hold_id_of(job_id: UUID) -> UUID:
    """The id of a job's hold."""
    return derived_id(job_id, Kind.HOLD)


async def hold(session: Session, *, accounts: Mapping[UUID, Account], holds: Sequence[Hold]) -> None:
    """Set these credits apart; `accounts` are locked and have admitted them. One statement where nothing expires."""
    rows = [NewHold(hold_id_of(one.job_id), one.tenant_id, one.job_id, one.key_id, one.amount) for one in holds]
    await _draw(session, accounts, holds)
    await session.run(_HOLD_CREDITS, **columns_of(NewHold, rows))


async def _draw(session: Session, accounts: Mapping[UUID, Account], holds: Sequence[Hold]) -> None:
    """Take from the lots of those who have any credit that expires."""
    with_lots = [tenant_id for tenant_id, account in accounts.items() if account.balance.expiring]
    if not with_lots:
        return
    lots: dict[UUID, list[Lot]] = {}
    for free in await session.rows(_LIST_FREE_LOTS, tenant_ids=with_lots):
        lots.setdefault(free.tenant_id, []).append(Lot(free.id, free.left_micro))
    drawn = []
    for one in holds:
        mine = lots.get(one.tenant_id, [])
        taken = dict(draw(mine, one.amount))
        lots[one.tenant_id] = [Lot(lot.id, lot.left - taken.get(lot.id, 0)) for lot in mine]
        drawn += [Drawn(hold_id_of(one.job_id), lot_id, amount, one.tenant_id) for lot_id, amount in taken.items()]
    if drawn:
        await session.run(_ALLOCATE_LOTS, **columns_of(Drawn, drawn))


async def spend(session: Session, *, accounts: Mapping[UUID, Account]) -> list[BudgetAlert]:
    """Write down what the accounts' budgets have come to; gives the alerts that are new. No statement without budgets."""
    budgets: list[Budget] = [budget for account in accounts.values() for budget in account.budgets]
    if not budgets:
        return []
    rows = [Spent(one.subject_id, one.period, one.starts_on, one.spent, one.reached_percent) for one in budgets]
    return await session.rows(_SPEND_BUDGETS, **columns_of(Spent, rows))
