"""Schemas of transfers, exposure and the audit log, for operators."""

from typing import Any, Self

from pydantic import BaseModel, Field

from app.admin.models import Entry, Exposure
from app.core.credits import show_credits
from app.core.ids import show_id
from app.ledger.models import ExposureReason, TransferKind
from app.ledger.rows import Transfer
from app.tenants.queries import Tenant
from app.web.fields import At


class TransferOut(BaseModel):
    """A transfer of the ledger. It never changes."""

    id: str
    tenant_id: str
    tenant: str = Field(description="the tenant's name")
    kind: TransferKind
    amount: str = Field(
        examples=["100.000000"], description="credits; negative for an adjustment that takes credits from the tenant"
    )
    job_id: str | None
    reference: str | None
    note: str | None
    expires_at: At | None
    created_at: At

    @classmethod
    def of(cls, tenant: Tenant, transfer: Transfer) -> Self:
        """Return the schema of a transfer."""
        return cls(
            id=transfer.id.hex,
            tenant_id=show_id("ten", tenant.id),
            tenant=tenant.name,
            kind=TransferKind(transfer.kind),
            amount=show_credits(transfer.amount),
            job_id=None if transfer.job_id is None else show_id("job", transfer.job_id),
            reference=transfer.reference,
            note=transfer.note,
            expires_at=transfer.expires_at,
            created_at=transfer.created_at,
        )


class ExposureOut(BaseModel):
    """What the upstream charged, or may have charged, that no tenant pays."""

    job_id: str
    tenant: str
    tenant_id: str
    amount: str = Field(description="credits; an estimate while the cost is unknown")
    reason: ExposureReason
    at: At
    upstream_id: str | None = Field(
        description="the request that the upstream started a second time; null: the job's own request"
    )

    @classmethod
    def of(cls, exposure: Exposure) -> Self:
        """Return the schema of an exposure."""
        return cls(
            job_id=show_id("job", exposure.job_id),
            tenant=exposure.tenant,
            tenant_id=show_id("ten", exposure.tenant_id),
            amount=show_credits(exposure.amount),
            reason=ExposureReason(exposure.reason),
            at=exposure.at,
            upstream_id=exposure.upstream_id,
        )


class EntryOut(BaseModel):
    """A write by an operator."""

    id: str
    at: At
    operator: str = Field(description="name of an operator, `admin key`, or the user of the command line")
    action: str = Field(examples=["credits.grant"], description="object and verb")
    target: str = Field(description="id or name of the object that was changed")
    tenant: str | None
    tenant_id: str | None
    detail: dict[str, Any] = Field(description="parameters of the request; never a secret")

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return the schema of an entry."""
        return cls(
            id=str(entry.id),
            at=entry.at,
            operator=entry.operator,
            action=entry.action,
            target=entry.target,
            tenant=entry.tenant,
            tenant_id=None if entry.tenant_id is None else show_id("ten", entry.tenant_id),
            detail=entry.detail,
        )
