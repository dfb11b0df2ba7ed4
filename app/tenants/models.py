"""Tables of tenants and their keys."""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.core.db import metadata


class Scope(StrEnum):
    """What a key may do."""

    JOBS_WRITE = "jobs:write"
    JOBS_READ = "jobs:read"
    WEBHOOKS = "webhooks"
    BILLING_READ = "billing:read"


ALL_SCOPES = tuple(Scope)

tenants = Table(
    "tenants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("suspended_at", DateTime(timezone=True)),
    Column("max_price_micro", BigInteger, comment="the dearest job it may ask for; null: any"),
    Column("default_price_micro", BigInteger, comment="of models without a price; null: the settings' own"),
    Column("models", ARRAY(Text), comment="slugs it may ask for; null: any"),
    CheckConstraint("max_price_micro >= 0 AND default_price_micro >= 0", name="prices"),
    CheckConstraint("name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'", name="name"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("prefix", Text, nullable=False, comment="the part that may be shown"),
    Column("hash", LargeBinary, nullable=False, unique=True, comment="HMAC-SHA256 of the whole key"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    CheckConstraint("octet_length(hash) = 32", name="hash"),
    CheckConstraint(
        "scopes <@ ARRAY['jobs:write', 'jobs:read', 'webhooks', 'billing:read'] AND cardinality(scopes) > 0",
        name="scopes",
    ),
    Index(None, "tenant_id"),
)
