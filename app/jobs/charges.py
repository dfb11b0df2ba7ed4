"""A charge that an operator lowers."""

from uuid import UUID

from app.core.credits import show_credits
from app.core.db import Session
from app.core.errors import Conflict, Malformed, Problem
from app.jobs.operations import JobNotFound
from app.ledger.corrections import recount_usage, return_to_budgets
from app.ledger.models import ExposureReason
from app.ledger.operations import correct_charge
from app.ledger.rows import Transfer
from app.ledger.settling import Exposure, expose


class ChargeCorrected(Conflict):
    """409: it was corrected before, and is so once."""

    code = "charge_corrected"

    def __init__(self) -> None:
        super().__init__("the charge of this job has been corrected before")


async def lower_charge(session: Session, *, tenant_id: UUID, job_id: UUID, amount_micro: int, note: str) -> Transfer:
    """Give a tenant back so much of what its job was charged, once; gives the transfer. What the upstream's cost then
    exceeds the charge by is exposure.

    Raises JobNotFound, ChargeCorrected; Malformed where the charge is less. The block must end when it raises.
    """
    charged: int | None = await session.fetchval(
        "SELECT charged_micro FROM jobs WHERE id = $1 AND tenant_id = $2", job_id, tenant_id
    )
    if charged is None:
        raise JobNotFound
    if await session.fetchval("SELECT true FROM transfers WHERE job_id = $1 AND kind = 'adjust'", job_id):
        raise ChargeCorrected
    if not 0 < amount_micro <= charged:
        expected = f"expected at most what the job was charged, {show_credits(charged)}"
        raise Malformed(f"amount: {expected}", problems=[Problem("$.amount", expected)])
    # locks the balance, before the job as everywhere; whoever was quicker has corrected the charge
    transfer = await correct_charge(session, tenant_id=tenant_id, job_id=job_id, amount_micro=amount_micro, note=note)
    if transfer is None:
        raise ChargeCorrected
    job = await session.fetchrow(
        "UPDATE jobs SET charged_micro = charged_micro - $2 WHERE id = $1 AND charged_micro >= $2"
        " RETURNING key_id, model, finished_at, cost_micro, charged_micro",
        job_id,
        amount_micro,
    )
    if job is None:
        raise ChargeCorrected
    await return_to_budgets(session, job_id=job_id, returned_micro=amount_micro)
    await recount_usage(
        session, tenant_id=tenant_id, key_id=job["key_id"], model=job["model"], ended_at=job["finished_at"],
        returned_micro=amount_micro, cost_micro=0,
    )  # fmt: skip
    uncovered = (job["cost_micro"] or 0) - job["charged_micro"]
    if uncovered > 0:
        exposure = Exposure(job_id, tenant_id, ExposureReason.COST_ABOVE_PRICE, uncovered)
        await expose(session, exposures=[exposure])
    return transfer
