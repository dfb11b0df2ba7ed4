"""The table of the audit log."""

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

from app.core.database.tables import metadata

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
