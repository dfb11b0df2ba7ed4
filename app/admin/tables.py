"""Tables of the operators, and of the audit log."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.core.tables import metadata

operators = Table(
    "operators",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("prefix", Text, nullable=False, comment="the part of the key that may be shown"),
    Column("hash", LargeBinary, nullable=False, unique=True, comment="HMAC-SHA256 of the whole key"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("revoked_at", DateTime(timezone=True)),
    CheckConstraint("name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'", name="name"),
    CheckConstraint("role IN ('admin', 'viewer')", name="role"),
    CheckConstraint("octet_length(hash) = 32", name="hash"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("operator", Text, nullable=False, comment="the operator's name, `admin key`, or whoever ran the command"),
    Column("action", Text, nullable=False, comment="noun and verb: tenant.create, credits.grant, job.resolve"),
    Column("target", Text, nullable=False, server_default="", comment="the id or name of what was acted on"),
    Column("tenant_id", Uuid),
    Column("detail", JSONB, nullable=False, server_default="{}", comment="what was asked; never a secret"),
    Index("audit_at_idx", "at"),
)
