"""The table of operators."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    LargeBinary,
    Table,
    Text,
    Uuid,
    func,
)

from app.core.database.tables import metadata

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
