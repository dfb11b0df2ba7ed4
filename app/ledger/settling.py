"""Settling: what ended jobs held is posted or released, each hold once; usage is counted, exposure written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.db import Session, columns
from app.core.ids import derived_id
from app.ledger.accounts import balance_of, expire_returned
from app.ledger.decide import Balance, Lot, give_back
from app.ledger.holds import hold_id_of
from app.ledger.models import ExposureReason, Kind


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a job ended. `outcome`: completed, failed or canceled; `charged` of what was `held` is posted, or all of it
    released where nothing is."""

    job_id: UUID
    tenant_id: UUID
    key_id: UUID | None
    model: str
    outcome: str
    ended_at: datetime
    held: int
    charged: int
    cost: int | None
    run_seconds: float | None

    @property
    def kind(self) -> Kind:
        """A completed job is posted even where that is nothing."""
        return Kind.POST if self.charged or self.outcome == "completed" else Kind.RELEASE


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the upstream charged, or may have, that no tenant pays. `upstream_id`: of a second start."""

    job_id: UUID
    tenant_id: UUID
    reason: ExposureReason
    amount: int
    upstream_id: str | None = None


# Resolve these holds, count these jobs; whose accounts need more than that? Balances are locked in order before anything
# is written. A hold that was never made, of a job older than the ledger, is not resolved.
_SETTLE = """
WITH asked AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::timestamptz[], $8::uuid[],
        $9::text[], $10::text[], $11::bigint[], $12::double precision[]
    ) AS t (
        id, tenant_id, job_id, hold_id, kind, charged, ended_at, key_id, model, outcome, cost, run_seconds
    )
), locked AS MATERIALIZED (
    SELECT
        tenant_id, granted, posted, held, overdraft, expiring,
        EXISTS (SELECT FROM lots WHERE lots.tenant_id = balances.tenant_id) AS has_lots,
        EXISTS (SELECT FROM budgets WHERE budgets.tenant_id = balances.tenant_id) AS has_budgets
    FROM balances WHERE tenant_id = ANY (ARRAY(SELECT tenant_id FROM asked))
    ORDER BY tenant_id
    FOR UPDATE OF balances
), resolved AS MATERIALIZED (
    SELECT asked.*, hold.amount AS held
    FROM asked JOIN transfers AS hold ON hold.id = asked.hold_id
    WHERE (SELECT count(*) FROM locked) > 0
), made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, job_id, hold_id)
    SELECT id, tenant_id, kind, CASE kind WHEN 'post' THEN charged ELSE held END, job_id, hold_id FROM resolved
), moved AS (
    UPDATE balances SET held = balances.held - summed.held, posted = balances.posted + summed.charged
    FROM (
        SELECT tenant_id, sum(held)::bigint AS held, sum(charged)::bigint AS charged FROM resolved GROUP BY tenant_id
    ) AS summed
    WHERE balances.tenant_id = summed.tenant_id
), counted AS (
    INSERT INTO usage_hours AS hours (
        tenant_id, hour, key_id, model, completed, failed, canceled, charged_micro, cost_micro, run_seconds
    )
    SELECT
        tenant_id, date_trunc('hour', ended_at, 'UTC'), key_id, model, count(*) FILTER (WHERE outcome = 'completed'),
        count(*) FILTER (WHERE outcome = 'failed'), count(*) FILTER (WHERE outcome = 'canceled'), sum(charged),
        coalesce(sum(cost), 0), coalesce(sum(run_seconds) FILTER (WHERE outcome = 'completed'), 0)
    FROM asked WHERE (SELECT count(*) FROM locked) > 0
    GROUP BY 1, 2, 3, 4
    ON CONFLICT ON CONSTRAINT usage_hours_key DO UPDATE SET
        completed = hours.completed + excluded.completed, failed = hours.failed + excluded.failed,
        canceled = hours.canceled + excluded.canceled, charged_micro = hours.charged_micro + excluded.charged_micro,
        cost_micro = hours.cost_micro + excluded.cost_micro, run_seconds = hours.run_seconds + excluded.run_seconds
)
SELECT * FROM locked WHERE has_lots OR has_budgets
"""

_ALLOCATIONS = """
SELECT allocation.hold_id, lot.id, allocation.amount, lot.expired_at IS NOT NULL AS expired
FROM allocations AS allocation JOIN lots AS lot ON lot.id = allocation.lot_id
WHERE allocation.hold_id = ANY($1::uuid[])
ORDER BY allocation.hold_id, lot.expires_at, lot.id
"""

_REFILL = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS t (tenant_id, lot_id, amount)
), filled AS (
    UPDATE lots SET left_micro = left_micro + summed.amount
    FROM (SELECT lot_id, sum(amount)::bigint AS amount FROM asked GROUP BY lot_id) AS summed WHERE lots.id = summed.lot_id
)
UPDATE balances SET expiring = expiring + summed.amount
FROM (SELECT tenant_id, sum(amount)::bigint AS amount FROM asked GROUP BY tenant_id) AS summed
WHERE balances.tenant_id = summed.tenant_id
"""

# What comes back to the budgets of the period in which the jobs were accepted.
_UNSPEND = """
UPDATE budgets SET spent_micro = greatest(0, budgets.spent_micro - summed.amount)
FROM (
    SELECT budget.subject_id, budget.period, sum(asked.amount)::bigint AS amount
    FROM unnest($1::uuid[], $2::bigint[]) AS asked (hold_id, amount)
    JOIN transfers AS hold ON hold.id = asked.hold_id
    JOIN budgets AS budget ON budget.subject_id IN (hold.tenant_id, hold.key_id)
    WHERE (hold.created_at AT TIME ZONE 'UTC')::date >= budget.starts_on
    GROUP BY budget.subject_id, budget.period
) AS summed
WHERE budgets.subject_id = summed.subject_id AND budgets.period = summed.period
"""

_EXPOSE = """
INSERT INTO exposures (job_id, tenant_id, reason, amount, upstream_id)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[])
ON CONFLICT DO NOTHING
"""


EXPOSE_SECOND_STARTS = """
    INSERT INTO exposures (job_id, tenant_id, upstream_id, reason, amount)
    SELECT id, tenant_id, upstream_id, 'second_start', held_micro FROM second_starts ON CONFLICT DO NOTHING
"""
"""For a statement with a CTE `second_starts (id, tenant_id, upstream_id, held_micro)`: the upstream has started these jobs
under an id that is not their own, which will cost about as much again."""


async def settle(session: Session, *, settlements: Sequence[Settlement]) -> None:
    """Resolve the holds of jobs that have just ended, in the transaction that ended them. One statement; more for tenants
    with budgets or credit that expires. Raises asyncpg.IntegrityConstraintViolationError where a hold was resolved before."""
    rows = await session.fetch(_SETTLE, *columns([_row(one) for one in settlements], 12))
    before = {row["tenant_id"]: balance_of(row) for row in rows if row["has_lots"]}
    await _return_to_lots(session, before, [one for one in settlements if one.tenant_id in before])
    budgeted = {row["tenant_id"] for row in rows if row["has_budgets"]}
    await _return_to_budgets(session, [one for one in settlements if one.tenant_id in budgeted])


async def expose(session: Session, *, exposures: Sequence[Exposure]) -> None:
    """Write exposure down, each job's and reason's once. One statement."""
    rows = [(one.job_id, one.tenant_id, one.reason, one.amount, one.upstream_id) for one in exposures]
    await session.execute(_EXPOSE, *columns(rows, 5))


def _row(one: Settlement) -> tuple[object, ...]:
    return (
        derived_id(one.job_id, one.kind), one.tenant_id, one.job_id, hold_id_of(one.job_id), one.kind, one.charged,
        one.ended_at, one.key_id, one.model, one.outcome, one.cost, one.run_seconds,
    )  # fmt: skip


async def _return_to_lots(session: Session, before: dict[UUID, Balance], settlements: Sequence[Settlement]) -> None:
    """Where holds had drawn on credit that expires, and less of it was spent."""
    if not settlements:
        return
    drawn: dict[UUID, list[tuple[Lot, int]]] = {}
    for row in await session.fetch(_ALLOCATIONS, [hold_id_of(one.job_id) for one in settlements]):
        drawn.setdefault(row["hold_id"], []).append((Lot(row["id"], 0, row["expired"]), row["amount"]))
    refilled: list[tuple[UUID, UUID, int]] = []
    expired: list[tuple[UUID, UUID, int, UUID]] = []
    for one in settlements:
        balance = before[one.tenant_id]
        unspent = one.held - one.charged
        back = give_back(
            drawn.get(hold_id_of(one.job_id), []), held=one.held, returned=unspent, available=balance.available
        )
        balance.held -= one.held
        balance.posted += one.charged
        balance.granted -= sum(amount for _, amount in back.expired)
        refilled += [(one.tenant_id, lot_id, amount) for lot_id, amount in back.to_lots]
        expired += [(one.tenant_id, lot_id, amount, one.job_id) for lot_id, amount in back.expired]
    if refilled:
        await session.execute(_REFILL, *columns(refilled, 3))
    if expired:
        await expire_returned(session, rows=expired)


async def _return_to_budgets(session: Session, settlements: Sequence[Settlement]) -> None:
    rows = [(hold_id_of(one.job_id), one.held - one.charged) for one in settlements]
    if rows:
        await session.execute(_UNSPEND, *columns(rows, 2))
