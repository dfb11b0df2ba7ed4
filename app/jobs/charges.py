"""A charge that turned out too high."""

from uuid import UUID

from app.core.db import Row, Session
from app.core.errors import Conflict, Malformed, Problem
from app.core.credits import show_credits
from app.jobs.operations import JobNotFound
from app.ledger.operations import correct_charge


class ChargeCorrected(Conflict):
    """409: it was corrected before, and is so once."""

    code = "charge_corrected"

    def __init__(self) -> None:
        super().__init__("the charge of this job has been corrected before")


async def lower_charge(session: Session, *, tenant_id: UUID, job_id: UUID, amount_micro: int, note: str) -> Row:
    """Give a tenant back so much of what its job was charged, once; gives the transfer.

    Raises JobNotFound, ChargeCorrected, Malformed where the charge is less. The block must end when it raises.
    """
    charged = "SELECT charged_micro FROM jobs WHERE id = $1 AND tenant_id = $2"
    if await session.fetchval(charged, job_id, tenant_id) is None:
        raise JobNotFound
    # the balance is locked before the job, as everywhere
    transfer = await correct_charge(session, tenant_id=tenant_id, job_id=job_id, amount_micro=amount_micro, note=note)
    if transfer is None:
        raise ChargeCorrected
    at_most: int = await session.fetchval(f"{charged} FOR UPDATE", job_id, tenant_id)
    if not 0 < amount_micro <= at_most:
        expected = f"expected at most what the job was charged, {show_credits(at_most)}"
        raise Malformed(f"amount: {expected}", problems=[Problem("$.amount", expected)])
    await session.execute("UPDATE jobs SET charged_micro = charged_micro - $2 WHERE id = $1", job_id, amount_micro)
    return transfer
