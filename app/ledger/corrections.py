"""What follows from a charge that is corrected: the hour's usage, and the budgets of the period it was accepted in."""

from datetime import datetime
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.ledger.holds import hold_id_of

_SQL = SqlFolder(__file__)
_RECOUNT_USAGE = _SQL.command("recount_usage")
_RETURN_TO_BUDGETS = _SQL.command("return_to_budgets")


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
    await session.run(
        _RECOUNT_USAGE, tenant_id=tenant_id, ended_at=ended_at, key_id=key_id, model=model, returned_micro=returned_micro,
        cost_micro=cost_micro,
    )  # fmt: skip


async def return_to_budgets(session: Session, *, job_id: UUID, returned_micro: int) -> None:
    """Give back to the budgets over a job's hold what it was charged too much; the balance is locked."""
    await session.run(_RETURN_TO_BUDGETS, hold_id=hold_id_of(job_id), amount=returned_micro)
