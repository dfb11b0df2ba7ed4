"""Writes on tenants and their keys."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Unpack
from uuid import UUID

import asyncpg

from app.core import clock
from app.core.db import Session
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
from app.tenants.queries import (
    KEY_COLUMNS,
    TENANT_COLUMNS,
    ApiKey,
    KeyNotFound,
    Tenant,
    TenantNotFound,
    key_of,
    tenant_of,
)

TENANT_SETTINGS = {
    "name": "name",
    "max_price": "max_price_micro",
    "default_price": "default_price_micro",
    "models": "models",
    "weight": "weight",
    **{name: name for name in TENANT_LIMITS},
}
KEY_SETTINGS = {"name": "name", "expires_at": "expires_at", **{name: name for name in LIMITS}}
"""The column of each setting that is stored as it is."""


class TenantExists(Conflict):
    """409: the name is another tenant's."""

    code = "tenant_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a tenant {name} already")


async def create_tenant(session: Session, *, name: str) -> Tenant:
    """A new tenant; raises Malformed or TenantExists."""
    row = await session.fetchrow(
        "INSERT INTO tenants (id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"  # noqa: S608
        f" RETURNING {TENANT_COLUMNS}",
        new_id(),
        checked_tenant_name(name),
    )
    if row is None:
        raise TenantExists(name)
    return tenant_of(row)


async def update_tenant(session: Session, *, tenant_id: UUID, **changes: Unpack[TenantChanges]) -> Tenant:
    """Change what is said; a tenant suspended twice keeps the first instant. Raises as create_tenant, and
    TenantNotFound."""
    if "name" in changes:
        checked_tenant_name(changes["name"])
    said = dict(changes)
    suspended = said.pop("suspended", None)
    assignments, values = _assignments(said, TENANT_SETTINGS)
    if suspended is not None:
        assignments.append(f"suspended_at = {'coalesce(suspended_at, now())' if suspended else 'NULL'}")
    try:
        row = await session.fetchrow(
            f"UPDATE tenants SET {', '.join(assignments) or 'name = name'} WHERE id = $1 RETURNING {TENANT_COLUMNS}",  # noqa: S608
            tenant_id,
            *values,
        )
    except asyncpg.UniqueViolationError:
        raise TenantExists(changes.get("name", "")) from None
    if row is None:
        raise TenantNotFound("no such tenant")
    return tenant_of(row)


def _assignments(changes: Mapping[str, object], columns: Mapping[str, str]) -> tuple[list[str], list[object]]:
    """`column = $2` and so on, and the values: only of what is said, since triggers tell from that what is to be done."""
    said = [name for name in columns if name in changes]
    return [f"{columns[name]} = ${at}" for at, name in enumerate(said, 2)], [changes[name] for name in said]


async def create_key(
    session: Session,
    *,
    tenant_id: UUID,
    secret: bytes,
    name: str = "",
    scopes: Iterable[Scope] | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its text, which is kept nowhere; `secret` is the first SECRET_KEY. Raises Malformed,
    TenantNotFound."""
    key = issue_key()
    try:
        row = await session.fetchrow(
            "INSERT INTO api_keys (id, tenant_id, name, prefix, hash, scopes, expires_at)"  # noqa: S608
            f" VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {KEY_COLUMNS}",
            new_id(),
            tenant_id,
            checked_key_name(name),
            key.prefix,
            hash_key(secret, key.text),
            checked_scopes(scopes),
            checked_expiry(expires_at, now=clock.now()),
        )
    except asyncpg.ForeignKeyViolationError:
        raise TenantNotFound("no such tenant") from None
    assert row is not None, "INSERT … RETURNING gives its row"
    return key_of(row), key.text


async def update_key(session: Session, *, key_id: UUID, **changes: Unpack[KeyChanges]) -> ApiKey:
    """Change what is said of a key; raises Malformed, KeyNotFound."""
    if "name" in changes:
        checked_key_name(changes["name"])
    checked_expiry(changes.get("expires_at"), now=clock.now())
    assignments, values = _assignments(changes, KEY_SETTINGS)
    row = await session.fetchrow(
        f"UPDATE api_keys SET {', '.join(assignments) or 'name = name'} WHERE id = $1 RETURNING {KEY_COLUMNS}",  # noqa: S608
        key_id,
        *values,
    )
    if row is None:
        raise KeyNotFound("no such key")
    return key_of(row)


async def revoke_key(session: Session, *, key_id: UUID) -> ApiKey:
    """The key is good no longer; revoked twice, it keeps the first instant. Raises KeyNotFound."""
    row = await session.fetchrow(
        f"UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING {KEY_COLUMNS}",  # noqa: S608
        key_id,
    )
    if row is None:
        raise KeyNotFound("no such key")
    return key_of(row)
