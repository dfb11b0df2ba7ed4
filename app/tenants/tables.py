"""Tables of tenants and their keys."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.core.database.tables import metadata

RATE = "rate_per_minute BETWEEN 1 AND 10000000 AND burst BETWEEN 1 AND 10000000"

PLACES = "max_in_flight BETWEEN 0 AND 10000000 AND max_queued BETWEEN 0 AND 100000000"

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
    Column(
        "weight",
        Float,
        nullable=False,
        server_default="1",
        comment="its share of what all tenants may spend upstream, beside the others'",
    ),
    Column("rate_per_minute", Integer, nullable=False, server_default="600", comment="submits"),
    Column("burst", Integer, nullable=False, server_default="100", comment="submits at once, after a rest"),
    Column(
        "refused_per_minute",
        Integer,
        comment="submits that may be refused; null: ten times rate_per_minute",
    ),
    Column(
        "max_in_flight",
        Integer,
        nullable=False,
        server_default="200",
        comment="jobs at the upstream at once; more wait",
    ),
    Column(
        "max_queued", Integer, nullable=False, server_default="10000", comment="jobs that may wait; more are refused"
    ),
    CheckConstraint("weight BETWEEN 0.001 AND 1000", name="weight"),
    CheckConstraint(RATE, name="rate"),
    CheckConstraint("refused_per_minute BETWEEN 1 AND 10000000", name="refused"),
    CheckConstraint(PLACES, name="places"),
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
    Column("rate_per_minute", Integer, comment="submits, beside its tenant's limit; null: only that one"),
    Column("burst", Integer, comment="submits at once, after a rest; null: only its tenant's"),
    Column("max_in_flight", Integer, comment="jobs at the upstream at once; null: only its tenant's"),
    Column("max_queued", Integer, comment="jobs that may wait; null: only its tenant's"),
    CheckConstraint(RATE, name="rate"),
    CheckConstraint(PLACES, name="places"),
    CheckConstraint("octet_length(hash) = 32", name="hash"),
    CheckConstraint(
        "scopes <@ ARRAY['jobs:write', 'jobs:read', 'webhooks', 'billing:read'] AND cardinality(scopes) > 0",
        name="scopes",
    ),
    Index(None, "tenant_id"),
)
