"""Effects of a corrected charge: on the usage of the job's hour, and on the budgets of the period it was accepted in."""

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
    """Add a cost that was reported late to the hour in which the job ended, and subtract `returned_micro` from its charges."""
    await session.run(
        _RECOUNT_USAGE, tenant_id=tenant_id, ended_at=ended_at, key_id=key_id, model=model, returned_micro=returned_micro,
        cost_micro=cost_micro,
    )  # fmt: skip


async def return_to_budgets(session: Session, *, job_id: UUID, returned_micro: int) -> None:
    """Return the excess of a job's charge to the budgets of its hold. The caller has locked the balance."""
    await session.run(_RETURN_TO_BUDGETS, hold_id=hold_id_of(job_id), amount=returned_micro)
