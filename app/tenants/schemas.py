"""Tenants and keys as operators see them, over HTTP and as the commands' `--json`."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema

from app.core.clock import rfc3339
from app.core.ids import show_id
from app.tenants.models import Scope
from app.tenants.queries import ApiKey, Tenant

At = Annotated[
    datetime, PlainSerializer(rfc3339, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""An instant, shown as RFC 3339 UTC."""


class TenantOut(BaseModel):
    """A tenant."""

    id: str = Field(examples=["ten_0198f2c07b7a7c3e9d5b1f0e2a4c6d8e"])
    name: str
    created_at: At
    suspended: bool
    suspended_at: At | None

    @classmethod
    def of(cls, tenant: Tenant) -> Self:
        """The tenant, ready to be shown."""
        return cls(
            id=show_id("ten", tenant.id),
            name=tenant.name,
            created_at=tenant.created_at,
            suspended=tenant.suspended_at is not None,
            suspended_at=tenant.suspended_at,
        )


class KeyOut(BaseModel):
    """An api key, without its secret."""

    id: str = Field(examples=["key_0198f2c07b7a7c3e9d5b1f0e2a4c6d8e"])
    tenant_id: str
    tenant: str = Field(description="the tenant's name")
    name: str
    prefix: str = Field(description="the beginning of the key, which may be shown")
    scopes: list[Scope]
    created_at: At
    expires_at: At | None
    revoked_at: At | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """The key, ready to be shown."""
        return cls(
            id=show_id("key", key.id),
            tenant_id=show_id("ten", key.tenant_id),
            tenant=key.tenant_name,
            name=key.name,
            prefix=key.prefix,
            scopes=list(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )


class IssuedKeyOut(KeyOut):
    """A new api key: the only time `key` is shown."""

    key: str

    @classmethod
    def issued(cls, key: ApiKey, *, text: str) -> Self:
        """The new key and its text."""
        return cls(**dict(KeyOut.of(key)), key=text)
