"""Schemas of tenants, keys and operators, for operators: over HTTP, and in the `--json` of the commands."""

from typing import Self

from pydantic import BaseModel, Field

from app.admin.models import Role
from app.admin.queries import Allowance, Operator
from app.core.credits import show_credits
from app.core.ids import show_id
from app.tenants.decide import Rate, refused_rate
from app.tenants.models import Scope
from app.tenants.queries import ApiKey, Tenant
from app.web.fields import At, Number

NO_ALLOWANCE = Allowance()


def shown_amount(micro: int | None) -> str | None:
    """Return credits as a decimal string, or None."""
    return None if micro is None else show_credits(micro)


class TenantOut(BaseModel):
    """A tenant."""

    id: str = Field(examples=["ten_0198f2c07b7a7c3e9d5b1f0e2a4c6d8e"])
    name: str
    created_at: At
    suspended: bool
    suspended_at: At | None
    max_price: str | None = Field(description="highest price of a job, in credits; null: no limit")
    default_price: str | None = Field(description="price of models that have none; null: WAYSTATION_DEFAULT_PRICE")
    overdraft: str = Field(description="how far below zero the balance may go", examples=["0.000000"])
    daily_credits: str | None = Field(description="credits that may be spent in a day (UTC); null: no limit")
    monthly_credits: str | None = Field(description="credits that may be spent in a month (UTC); null: no limit")
    models: list[str] | None = Field(description="slugs of the models that it may use; null: all")
    weight: Number = Field(description="its share of the upstream's capacity, relative to the weights of other tenants")
    rate_per_minute: int = Field(description="submits a minute")
    burst: int = Field(description="submits that may be made at once")
    refused_per_minute: int = Field(
        description="refused submits that are allowed in a minute; then every submit is refused: 429 too_many_refused"
    )
    max_in_flight: int = Field(description="jobs that may be in flight; further jobs stay queued")
    max_queued: int = Field(description="jobs that may be queued; further submits are refused")

    @classmethod
    def of(cls, tenant: Tenant, allowance: Allowance) -> Self:
        """Return the schema of a tenant."""
        return cls(
            id=show_id("ten", tenant.id),
            name=tenant.name,
            created_at=tenant.created_at,
            suspended=tenant.suspended_at is not None,
            suspended_at=tenant.suspended_at,
            max_price=shown_amount(tenant.max_price_micro),
            default_price=shown_amount(tenant.default_price_micro),
            overdraft=show_credits(allowance.overdraft),
            daily_credits=shown_amount(allowance.daily_credits),
            monthly_credits=shown_amount(allowance.monthly_credits),
            models=tenant.models,
            weight=tenant.weight,
            rate_per_minute=tenant.rate_per_minute,
            burst=tenant.burst,
            refused_per_minute=refused_rate(
                Rate(tenant.rate_per_minute, tenant.burst), tenant.refused_per_minute
            ).per_minute,
            max_in_flight=tenant.max_in_flight,
            max_queued=tenant.max_queued,
        )


class KeyOut(BaseModel):
    """An API key, without its secret."""

    id: str = Field(examples=["key_0198f2c07b7a7c3e9d5b1f0e2a4c6d8e"])
    tenant_id: str
    tenant: str = Field(description="the tenant's name")
    name: str
    prefix: str = Field(description="the first characters of the key, which are not secret")
    scopes: list[Scope]
    created_at: At
    expires_at: At | None
    revoked_at: At | None
    daily_credits: str | None = Field(description="credits that may be spent in a day (UTC); null: no limit")
    monthly_credits: str | None = Field(description="credits that may be spent in a month (UTC); null: no limit")
    rate_per_minute: int | None = Field(
        description="submits a minute, in addition to the tenant's limit; null: only the tenant's limit"
    )
    burst: int | None = Field(description="submits that may be made at once; null: the tenant's burst")
    max_in_flight: int | None = Field(description="jobs that may be in flight; null: only the tenant's limit")
    max_queued: int | None = Field(description="jobs that may be queued; null: only the tenant's limit")

    @classmethod
    def of(cls, key: ApiKey, allowance: Allowance) -> Self:
        """Return the schema of a key."""
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
            daily_credits=shown_amount(allowance.daily_credits),
            monthly_credits=shown_amount(allowance.monthly_credits),
            rate_per_minute=key.rate_per_minute,
            burst=key.burst,
            max_in_flight=key.max_in_flight,
            max_queued=key.max_queued,
        )


class IssuedKeyOut(KeyOut):
    """A new API key. `key` is shown only in this answer."""

    key: str

    @classmethod
    def issued(cls, key: ApiKey, *, text: str) -> Self:
        """Return a new key with its text."""
        return cls(**dict(KeyOut.of(key, NO_ALLOWANCE)), key=text)


class OperatorOut(BaseModel):
    """An operator, without the key."""

    id: str
    name: str
    role: Role
    prefix: str
    created_at: At
    revoked_at: At | None

    @classmethod
    def of(cls, operator: Operator) -> Self:
        """Return the schema of an operator."""
        return cls(
            id=show_id("opr", operator.id),
            name=operator.name,
            role=operator.role,
            prefix=operator.prefix,
            created_at=operator.created_at,
            revoked_at=operator.revoked_at,
        )


class IssuedOperatorOut(OperatorOut):
    """A new operator. `key` is shown only in this answer."""

    key: str

    @classmethod
    def issued(cls, operator: Operator, *, text: str) -> Self:
        """Return a new operator with their key's text."""
        return cls(**dict(OperatorOut.of(operator)), key=text)
