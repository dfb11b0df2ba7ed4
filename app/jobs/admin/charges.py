"""Lower the charge of a job, by an operator."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.credits import show_credits
from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.core.errors import Conflict, Malformed, Problem
from app.jobs.operations import JobNotFound
from app.ledger.corrections import recount_usage, return_to_budgets
from app.ledger.models import ExposureReason
from app.ledger.operations import correct_charge
from app.ledger.rows import Transfer
from app.ledger.settling import Exposure, expose


class ChargeCorrected(Conflict):
    """409: a charge can be corrected only once."""

    code = "charge_corrected"

    def __init__(self) -> None:
        super().__init__("the charge of this job was already corrected")


class _Charged(NamedTuple):
    key_id: UUID | None
    model: str
    finished_at: datetime
    cost_micro: int | None
    charged_micro: int


_SQL = SqlFolder(__file__)
_GET_CHARGED = _SQL.query("get_charged", int)
_IS_CHARGE_CORRECTED = _SQL.query("is_charge_corrected", bool)
_LOWER_CHARGE = _SQL.query("lower_charge", _Charged)


async def lower_charge(session: Session, *, tenant_id: UUID, job_id: UUID, amount_micro: int, note: str) -> Transfer:
    """Give `amount_micro` of a job's charge back to its tenant, once. Returns the transfer. If the upstream's cost is then higher
    than the charge, the difference becomes exposure.

    Raises JobNotFound, ChargeCorrected, and Malformed if the charge is less. The transaction must end if this raises.
    """
    charged = await session.find_value(_GET_CHARGED, job_id=job_id, tenant_id=tenant_id)
    if charged is None:
        raise JobNotFound
    if await session.find_value(_IS_CHARGE_CORRECTED, job_id=job_id):
        raise ChargeCorrected
    if not 0 < amount_micro <= charged:
        expected = f"expected at most the charge of the job, {show_credits(charged)}"
        raise Malformed(f"amount: {expected}", problems=[Problem("$.amount", expected)])
    # locks the balance before the job; None: the charge was corrected meanwhile
    transfer = await correct_charge(session, tenant_id=tenant_id, job_id=job_id, amount_micro=amount_micro, note=note)
    if transfer is None:
        raise ChargeCorrected
    job = await session.find_row(_LOWER_CHARGE, job_id=job_id, amount=amount_micro)
    if job is None:
        raise ChargeCorrected
    await return_to_budgets(session, job_id=job_id, returned_micro=amount_micro)
    await recount_usage(
        session, tenant_id=tenant_id, key_id=job.key_id, model=job.model, ended_at=job.finished_at,
        returned_micro=amount_micro, cost_micro=0,
    )  # fmt: skip
    uncovered = (job.cost_micro or 0) - job.charged_micro
    if uncovered > 0:
        exposure = Exposure(job_id, tenant_id, ExposureReason.COST_ABOVE_PRICE, uncovered)
        await expose(session, exposures=[exposure])
    return transfer
