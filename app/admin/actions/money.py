"""The actions of operators on balances. Each writes the audit log; `by` is who acts."""

from datetime import datetime
from uuid import UUID

from app.admin.decide import NOTE_MAX, REFERENCE_MAX, checked_line
from app.audit.operations import record_audit
from app.core import clock
from app.core.database.session import Session
from app.core.ids import show_id
from app.jobs.admin.charges import lower_charge
from app.ledger import operations
from app.ledger.rows import Transfer
from app.tenants.decide import checked_expiry
from app.tenants.queries import Tenant, get_tenant


async def grant_credits(
    session: Session,
    *,
    by: str,
    tenant: str,
    amount: int,
    reference: str,
    note: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[Tenant, Transfer, bool]:
    """Grant credits, in micro-credits. Return the tenant, the transfer, and whether it is new.

    A call with the same reference and amount returns the first grant, with the expiry of that grant.

    Raises Malformed, TenantNotFound, ReferenceTaken.
    """
    checked_line(reference, field="reference", most=REFERENCE_MAX, required=True)
    checked_line(note or "", field="note", most=NOTE_MAX)
    found = await get_tenant(session, name_or_id=tenant)
    asked = {"amount": amount, "reference": reference, "note": note, "expires_at": expires_at}
    transfer, new = await operations.grant(
        session, tenant_id=found.id, amount_micro=amount, reference=reference, note=note or None, expires_at=expires_at
    )
    if new:  # a repeated call may come after the expiry of its grant
        checked_expiry(expires_at, now=clock.now())
    await record_audit(
        session,
        by=by,
        action="credits.grant",
        target=show_id("ten", found.id),
        tenant_id=found.id,
        detail={**asked, "new": new},
    )
    return found, transfer, new


async def adjust_credits(
    session: Session, *, by: str, tenant: str, amount: int, note: str, job_id: UUID | None = None
) -> tuple[Tenant, Transfer]:
    """Correct a balance by `amount` micro-credits; a negative amount is taken away. With `job_id`, lower the charge of that
    job, at most once. Return the tenant and the transfer.

    Raises Malformed, TenantNotFound, OverdraftExceeded, JobNotFound, ChargeCorrected.
    """
    checked_line(note, field="note", most=NOTE_MAX, required=True)
    found = await get_tenant(session, name_or_id=tenant)
    asked: dict[str, object] = {"amount": amount, "note": note}
    if job_id is None:
        transfer = await operations.adjust(session, tenant_id=found.id, amount_micro=amount, note=note)
    else:
        asked["job_id"] = show_id("job", job_id)
        transfer = await lower_charge(session, tenant_id=found.id, job_id=job_id, amount_micro=amount, note=note)
    await record_audit(
        session,
        by=by,
        action="credits.adjust",
        target=show_id("ten", found.id),
        tenant_id=found.id,
        detail=asked,
    )
    return found, transfer
