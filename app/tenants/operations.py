"""Writes of tenants and their keys."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Unpack
from uuid import UUID

import asyncpg

from app.core import clock
from app.core.database.session import Session
from app.core.database.sql import Command, SqlFolder
from app.core.errors import Conflict
from app.core.ids import new_id
from app.tenants.decide import (
    LIMITS,
    TENANT_LIMITS,
    KeyChanges,
    TenantChanges,
    checked_expiry,
    checked_key_name,
    checked_scopes,
    checked_tenant_name,
)
from app.tenants.keys import hash_key, issue_key
from app.tenants.models import Scope
from app.tenants.queries import ApiKey, KeyNotFound, Tenant, TenantNotFound

TENANT_SETTINGS = {
    "name": "name",
    "max_price": "max_price_micro",
    "default_price": "default_price_micro",
    "models": "models",
    "weight": "weight",
    **{name: name for name in TENANT_LIMITS},
}
KEY_SETTINGS = {"name": "name", "expires_at": "expires_at", **{name: name for name in LIMITS}}
"""The column of each setting that is stored unchanged."""

QUEUE_SETTINGS = frozenset({"weight", "max_in_flight", "max_queued"})
"""Settings that are also in the queue of the tenant or key. If a statement sets their columns, triggers copy them there."""

_SQL = SqlFolder(__file__)
_CREATE_TENANT = _SQL.query("create_tenant", Tenant)
_UPDATE_TENANT = _SQL.query("update_tenant", Tenant)
_UPDATE_TENANT_AND_QUEUE = _SQL.query("update_tenant_and_queue", Tenant)
_CREATE_KEY = _SQL.query("create_key", ApiKey)
_UPDATE_KEY = _SQL.query("update_key", ApiKey)
_UPDATE_KEY_AND_QUEUE = _SQL.query("update_key_and_queue", ApiKey)
_REVOKE_KEY = _SQL.query("revoke_key", ApiKey)


class TenantExists(Conflict):
    """409: another tenant has this name."""

    code = "tenant_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"the tenant {name} already exists")


async def create_tenant(session: Session, *, name: str) -> Tenant:
    """Create a tenant. Raises Malformed, TenantExists."""
    tenant = await session.find_row(_CREATE_TENANT, tenant_id=new_id(), name=checked_tenant_name(name))
    if tenant is None:
        raise TenantExists(name)
    return tenant


async def update_tenant(session: Session, *, tenant_id: UUID, **changes: Unpack[TenantChanges]) -> Tenant:
    """Change the given settings of a tenant. One that is suspended again keeps its first `suspended_at`. Raises Malformed,
    TenantExists, TenantNotFound."""
    if "name" in changes:
        checked_tenant_name(changes["name"])
    update = _UPDATE_TENANT_AND_QUEUE if changes.keys() & QUEUE_SETTINGS else _UPDATE_TENANT
    said = _said(changes, TENANT_SETTINGS, update)
    try:
        tenant = await session.find_row(update, tenant_id=tenant_id, suspended=changes.get("suspended"), **said)
    except asyncpg.UniqueViolationError:
        raise TenantExists(changes.get("name", "")) from None
    if tenant is None:
        raise TenantNotFound("no such tenant")
    return tenant


def _said(changes: Mapping[str, object], columns: Mapping[str, str], update: Command) -> dict[str, object]:
    """Parameters for `update`: the columns that change, and a value for each column that the statement can set."""
    said = {columns[name]: value for name, value in changes.items() if name in columns}
    return {"said": list(said), **{name: said.get(name) for name in columns.values() if name in update.parameters}}


async def create_key(
    session: Session,
    *,
    tenant_id: UUID,
    secret: bytes,
    name: str = "",
    scopes: Iterable[Scope] | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key. Returns it and its text, which is stored nowhere. `secret`: the first SECRET_KEY. Raises Malformed,
    TenantNotFound."""
    key = issue_key()
    try:
        made = await session.get_row(
            _CREATE_KEY,
            key_id=new_id(),
            tenant_id=tenant_id,
            name=checked_key_name(name),
            prefix=key.prefix,
            hash=hash_key(secret, key.text),
            scopes=checked_scopes(scopes),
            expires_at=checked_expiry(expires_at, now=clock.now()),
        )
    except asyncpg.ForeignKeyViolationError:
        raise TenantNotFound("no such tenant") from None
    return made, key.text


async def update_key(session: Session, *, key_id: UUID, **changes: Unpack[KeyChanges]) -> ApiKey:
    """Change the given settings of a key. Raises Malformed, KeyNotFound."""
    if "name" in changes:
        checked_key_name(changes["name"])
    checked_expiry(changes.get("expires_at"), now=clock.now())
    update = _UPDATE_KEY_AND_QUEUE if changes.keys() & QUEUE_SETTINGS else _UPDATE_KEY
    key = await session.find_row(update, key_id=key_id, **_said(changes, KEY_SETTINGS, update))
    if key is None:
        raise KeyNotFound("no such key")
    return key


async def revoke_key(session: Session, *, key_id: UUID) -> ApiKey:
    """Revoke a key. One that is revoked again keeps its first `revoked_at`. Raises KeyNotFound."""
    key = await session.find_row(_REVOKE_KEY, key_id=key_id)
    if key is None:
        raise KeyNotFound("no such key")
    return key
