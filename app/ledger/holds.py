"""Holding: a group of jobs' quotes is set apart in one go, each judged on its own by `Account.admit` beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.core.db import Session, columns
from app.core.ids import derived_id
from app.ledger.decide import Account, Budget, Hold, Lot, draw
from app.ledger.models import Kind

# The balances are locked, and the holds are known to fit.
_HOLD = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[])
        AS t (id, tenant_id, job_id, key_id, amount)
), made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, job_id, key_id)
    SELECT id, tenant_id, 'hold', amount, job_id, key_id FROM asked
)
UPDATE balances SET held = held + summed.amount
FROM (SELECT tenant_id, sum(amount)::bigint AS amount FROM asked GROUP BY tenant_id) AS summed
WHERE balances.tenant_id = summed.tenant_id
"""

_FREE_LOTS = """
SELECT id, tenant_id, left_micro FROM lots
WHERE tenant_id = ANY($1::uuid[]) AND left_micro > 0
ORDER BY tenant_id, expires_at, id
"""


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


# What these holds take out of lots.
_ALLOCATE = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[]) AS t (hold_id, lot_id, amount, tenant_id)
), kept AS (
    INSERT INTO allocations (hold_id, lot_id, amount) SELECT hold_id, lot_id, amount FROM asked
), emptied AS (
    UPDATE lots SET left_micro = left_micro - summed.amount
    FROM (SELECT lot_id, sum(amount)::bigint AS amount FROM asked GROUP BY lot_id) AS summed WHERE lots.id = summed.lot_id
)
UPDATE balances SET expiring = expiring - summed.amount
FROM (SELECT tenant_id, sum(amount)::bigint AS amount FROM asked GROUP BY tenant_id) AS summed
WHERE balances.tenant_id = summed.tenant_id
"""

# What budgets have come to, and the alerts they have earned by it: each once a period.
_SPEND = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::date[], $4::bigint[], $5::smallint[])
        AS t (subject_id, period, starts_on, spent_micro, percent)
), spent AS (
    UPDATE budgets SET
        spent_micro = asked.spent_micro, starts_on = asked.starts_on,
        alerted_percent = CASE
            WHEN budgets.starts_on = asked.starts_on THEN greatest(budgets.alerted_percent, asked.percent)
            ELSE asked.percent
        END
    FROM asked WHERE budgets.subject_id = asked.subject_id AND budgets.period = asked.period
    RETURNING
        budgets.tenant_id, budgets.subject_id, budgets.period, budgets.starts_on, budgets.limit_micro,
        budgets.spent_micro, asked.percent
)
INSERT INTO budget_alerts (tenant_id, subject_id, period, starts_on, percent, spent_micro, limit_micro)
SELECT tenant_id, subject_id, period, starts_on, level, spent_micro, limit_micro
FROM spent JOIN unnest(ARRAY[50, 80, 100]::smallint[]) AS level ON level <= spent.percent
ON CONFLICT DO NOTHING
RETURNING tenant_id, subject_id, period, percent
"""


def hold_id_of(job_id: UUID) -> UUID:
    """The id of a job's hold."""
    return derived_id(job_id, Kind.HOLD)


@dataclass(frozen=True, slots=True)
class BudgetAlert:
    """A budget has come to so many per cent, for the first time in its period."""

    tenant_id: UUID
    subject_id: UUID
    period: str
    percent: int


async def hold(session: Session, *, accounts: Mapping[UUID, Account], holds: Sequence[Hold]) -> None:
    """Set these credits apart; `accounts` are locked and have admitted them. One statement where nothing expires."""
    rows = [(hold_id_of(one.job_id), one.tenant_id, one.job_id, one.key_id, one.amount) for one in holds]
    await _draw(session, accounts, holds)
    await session.execute(_HOLD, *columns(rows, 5))


async def _draw(session: Session, accounts: Mapping[UUID, Account], holds: Sequence[Hold]) -> None:
    """Take from the lots of those who have any credit that expires."""
    with_lots = [tenant_id for tenant_id, account in accounts.items() if account.balance.expiring]
    if not with_lots:
        return
    lots: dict[UUID, list[Lot]] = {}
    for row in await session.fetch(_FREE_LOTS, with_lots):
        lots.setdefault(row["tenant_id"], []).append(Lot(row["id"], row["left_micro"]))
    drawn = []
    for one in holds:
        mine = lots.get(one.tenant_id, [])
        taken = dict(draw(mine, one.amount))
        lots[one.tenant_id] = [Lot(lot.id, lot.left - taken.get(lot.id, 0)) for lot in mine]
        drawn += [(hold_id_of(one.job_id), lot_id, amount, one.tenant_id) for lot_id, amount in taken.items()]
    if drawn:
        await session.execute(_ALLOCATE, *columns(drawn, 4))


async def spend(session: Session, *, accounts: Mapping[UUID, Account]) -> list[BudgetAlert]:
    """Write down what the accounts' budgets have come to; gives the alerts that are new. No statement without budgets."""
    budgets: list[Budget] = [budget for account in accounts.values() for budget in account.budgets]
    if not budgets:
        return []
    rows = [(one.subject_id, one.period, one.starts_on, one.spent, one.reached_percent) for one in budgets]
    return [BudgetAlert(**alert) for alert in await session.fetch(_SPEND, *columns(rows, 5))]
