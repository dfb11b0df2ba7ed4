"""What follows from a charge that is corrected: the hour's usage, and the budgets of the period it was accepted in."""

from datetime import datetime
from uuid import UUID

from app.core.db import Session
from app.ledger.holds import hold_id_of

_RECOUNT = """
INSERT INTO usage_hours AS hours (tenant_id, hour, key_id, model, charged_micro, cost_micro)
VALUES ($1, date_trunc('hour', $2::timestamptz, 'UTC'), $3, $4, -$5::bigint, $6)
ON CONFLICT ON CONSTRAINT usage_hours_key DO UPDATE SET
    charged_micro = hours.charged_micro + excluded.charged_micro, cost_micro = hours.cost_micro + excluded.cost_micro
"""

_UNSPEND = """
UPDATE budgets SET spent_micro = greatest(0, spent_micro - $2)
FROM transfers AS hold
WHERE hold.id = $1 AND budgets.subject_id IN (hold.tenant_id, hold.key_id)
    AND (hold.created_at AT TIME ZONE 'UTC')::date >= budgets.starts_on
"""


async def recount_usage(
    session: Session,
    *,
    tenant_id: UUID,
    key_id: UUID | None,
    model: str,
    ended_at: datetime,
    returned_micro: int,
    cost_micro: int,
) -> None:
    """Count a cost that was told late, and a charge that was lowered by `returned_micro`, in the hour the job ended."""
    await session.execute(_RECOUNT, tenant_id, ended_at, key_id, model, returned_micro, cost_micro)


async def return_to_budgets(session: Session, *, job_id: UUID, returned_micro: int) -> None:
    """Give back to the budgets over a job's hold what it was charged too much; the balance is locked."""
    await session.execute(_UNSPEND, hold_id_of(job_id), returned_micro)
