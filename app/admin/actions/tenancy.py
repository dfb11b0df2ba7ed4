"""The actions of operators on tenants and their keys. Each writes the audit log; `by` is who acts."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app.admin.decide import KeySettings, TenantSettings
from app.audit.operations import record_audit
from app.core.database.session import Session
from app.core.ids import show_id
from app.jobs.places import lock_queue, open_places, reweigh
from app.ledger.models import Period
from app.ledger.operations import set_budget, set_overdraft
from app.tenants import operations
from app.tenants.models import Scope
from app.tenants.queries import ApiKey, Tenant, get_key, get_tenant

ELSEWHERE = ("overdraft", "daily_credits", "monthly_credits")
"""Settings that the ledger stores."""
PLACES = ("weight", "max_in_flight", "max_queued")
"""Settings that the tenant's queue also stores."""


async def create_tenant(session: Session, *, by: str, name: str, settings: TenantSettings | None = None) -> Tenant:
    """Create a tenant with these settings. Raises Malformed, TenantExists."""
    tenant = await operations.create_tenant(session, name=name)
    await _record(session, by, "tenant.create", show_id("ten", tenant.id), tenant.id, {"name": name})
    if settings:
        tenant = await change_tenant(session, by=by, tenant=name, settings=settings)
    return tenant


async def change_tenant(session: Session, *, by: str, tenant: str, settings: TenantSettings) -> Tenant:
    """Change settings of the tenant with this name or id. Raises Malformed, TenantNotFound, TenantExists, OverdraftExceeded."""
    tenant_id = (await get_tenant(session, name_or_id=tenant)).id
    if not settings.keys().isdisjoint(PLACES):
        await lock_queue(session, subject_id=tenant_id)
    if "weight" in settings:
        await reweigh(session, tenant_id=tenant_id, weight=settings["weight"])
    # lock the queue first, then the balance: a submit holds both when its job needs the tenant's row, which a new name locks
    if "overdraft" in settings:
        await set_overdraft(session, tenant_id=tenant_id, overdraft_micro=settings["overdraft"])
    await _set_budgets(session, tenant_id, tenant_id, settings)
    own: Any = {name: value for name, value in settings.items() if name not in ELSEWHERE}
    changed = await operations.update_tenant(session, tenant_id=tenant_id, **own)
    await _record(session, by, "tenant.set", show_id("ten", tenant_id), tenant_id, settings)
    return changed


async def create_key(
    session: Session,
    *,
    by: str,
    tenant: str,
    secret: bytes,
    name: str = "",
    scopes: Iterable[Scope] | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key. Return it and its text, which is not stored. Raises Malformed, TenantNotFound."""
    tenant_id = (await get_tenant(session, name_or_id=tenant)).id
    key, text = await operations.create_key(
        session, tenant_id=tenant_id, secret=secret, name=name, scopes=scopes, expires_at=expires_at
    )
    asked = {"name": key.name, "scopes": list(key.scopes), "expires_at": key.expires_at}
    await _record(session, by, "key.create", show_id("key", key.id), tenant_id, asked)
    return key, text


async def change_key(session: Session, *, by: str, key_id: UUID, settings: KeySettings) -> ApiKey:
    """Change settings of a key. Raises Malformed, KeyNotFound."""
    key = await get_key(session, key_id=key_id)
    if settings.get("max_in_flight") is not None or settings.get("max_queued") is not None:
        await open_places(session, tenant_id=key.tenant_id, key_id=key_id)
    own: Any = {name: value for name, value in settings.items() if name not in ELSEWHERE}
    if own:
        key = await operations.update_key(session, key_id=key_id, **own)
    await _set_budgets(session, key.tenant_id, key_id, settings)
    await _record(session, by, "key.set", show_id("key", key_id), key.tenant_id, settings)
    return key


async def revoke_key(session: Session, *, by: str, key_id: UUID) -> ApiKey:
    """Revoke a key. Raises KeyNotFound."""
    key = await operations.revoke_key(session, key_id=key_id)
    await _record(session, by, "key.revoke", show_id("key", key_id), key.tenant_id, {})
    return key


async def _set_budgets(
    session: Session, tenant_id: UUID, subject_id: UUID, settings: TenantSettings | KeySettings
) -> None:
    for name, period in (("daily_credits", Period.DAY), ("monthly_credits", Period.MONTH)):
        if name in settings:
            limit: int | None = settings[name]  # type: ignore[literal-required]
            await set_budget(session, tenant_id=tenant_id, subject_id=subject_id, period=period, limit_micro=limit)


async def _record(
    session: Session, by: str, action: str, target: str, tenant_id: UUID, asked: Mapping[str, object]
) -> None:
    await record_audit(session, by=by, action=action, target=target, tenant_id=tenant_id, detail=asked)
