"""List the audit log and the exposure, with filters."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from app.admin.models import Entry, Exposure
from app.audit.tables import audit
from app.core.database.select import equal, fetch, within
from app.core.database.session import ReadSession
from app.ledger.models import ExposureReason
from app.ledger.tables import exposures
from app.tenants.tables import tenants


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """A filter of the audit log. None means no bound. `since` is inclusive, `before` exclusive."""

    operator: str | None = None
    action: str | None = None
    target: str | None = None
    tenant_id: UUID | None = None
    since: datetime | None = None
    before: datetime | None = None


async def list_audit(session: ReadSession, *, wanted: EntryFilter, before_id: int | None, limit: int) -> list[Entry]:
    """Return entries of the audit log, newest first."""
    entry = audit.c
    found = (
        select(
            entry.id, entry.at, entry.operator, entry.action, entry.target, tenants.c.name.label("tenant"),
            entry.tenant_id, entry.detail,
        )
        .join_from(audit, tenants, tenants.c.id == entry.tenant_id, isouter=True)
        .where(
            *equal(entry.operator, wanted.operator),
            *equal(entry.action, wanted.action),
            *equal(entry.target, wanted.target),
            *equal(entry.tenant_id, wanted.tenant_id),
            *within(entry.at, wanted.since, wanted.before),
            *within(entry.id, None, before_id),
        )
        .order_by(entry.id.desc())
        .limit(limit)
    )  # fmt: skip
    return [Entry(**row) for row in await fetch(session, found)]


@dataclass(frozen=True, slots=True)
class ExposureFilter:
    """A filter of the exposure. None means no bound. `since` is inclusive."""

    tenant_id: UUID | None = None
    reason: ExposureReason | None = None
    since: datetime | None = None


async def list_exposure(
    session: ReadSession, *, wanted: ExposureFilter, before_id: int | None, limit: int
) -> list[Exposure]:
    """Return the exposure, newest first."""
    exposure = exposures.c
    found = (
        select(
            exposure.id, exposure.at, exposure.job_id, tenants.c.name.label("tenant"), exposure.tenant_id,
            exposure.reason, exposure.amount, exposure.upstream_id,
        )
        .join_from(exposures, tenants, tenants.c.id == exposure.tenant_id)
        .where(
            *equal(exposure.tenant_id, wanted.tenant_id),
            *equal(exposure.reason, wanted.reason),
            *within(exposure.at, wanted.since, None),
            *within(exposure.id, None, before_id),
        )
        .order_by(exposure.id.desc())
        .limit(limit)
    )  # fmt: skip
    return [Exposure(**row) for row in await fetch(session, found)]
