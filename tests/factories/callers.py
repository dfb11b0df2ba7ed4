"""Tenants with a key, as a request needs them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from app.core.database.db import Database
from app.ledger.operations import grant
from app.tenants.models import Scope
from app.tenants.operations import create_key, create_tenant
from app.tenants.queries import ApiKey, Tenant

SECRET = b"s" * 32


@dataclass(frozen=True)
class Caller:
    """A tenant, a key of it, and the key's text."""

    tenant: Tenant
    key: ApiKey
    text: str


NewCaller = Callable[..., Awaitable[Caller]]


async def make_caller(
    database: Database,
    *,
    secret: bytes = SECRET,
    scopes: list[Scope] | None = None,
    expires_at: datetime | None = None,
    credits_micro: int = 1_000_000_000,
) -> Caller:
    """A new tenant with one key, and a thousand credits unless it is to have others."""
    async with database.transaction() as session:
        tenant = await create_tenant(session, name=f"t{uuid4().hex}")
        key, text = await create_key(session, tenant_id=tenant.id, secret=secret, scopes=scopes, expires_at=expires_at)
        if credits_micro:
            await grant(session, tenant_id=tenant.id, amount_micro=credits_micro, reference="test")
    return Caller(tenant, key, text)
