"""Tables of what the whole company knows of the upstream just now, and of what operators have stopped."""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)

from app.core.db import metadata


class PauseReason(StrEnum):
    """Why submits wait: the upstream asked us to slow down, or our account there is in trouble."""

    THROTTLED = "throttled"
    ACCOUNT = "account"


class What(StrEnum):
    """What an operator's pause stops: submits to the upstream, or polls as well. Tenants' submits are taken anyway."""

    SUBMITS = "submits"
    ALL = "all"


upstream_state = Table(
    "upstream_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default="1", comment="there is one row"),
    Column("paused_until", DateTime(timezone=True)),
    Column("paused_since", DateTime(timezone=True)),
    Column("paused_reason", Text),
    Column("paused_detail", Text, comment="the upstream's words, for the operator"),
    Column("pauses", SmallInteger, nullable=False, server_default="0", comment="in a row, without a success between"),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("paused_reason IN ('throttled', 'account')", name="paused_reason"),
    CheckConstraint("(paused_reason IS NULL) = (paused_until IS NULL)", name="paused"),
)

pauses = Table(
    "pauses",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), comment="null: of every tenant"),
    Column("model", Text, comment="null: every model"),
    Column("what", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("paused_by", Text, nullable=False, comment="who said so last"),
    Column("note", Text, nullable=False, server_default="", comment="why, for people"),
    UniqueConstraint("tenant_id", "model", name="pauses_scope_key", postgresql_nulls_not_distinct=True),
    CheckConstraint("what IN ('submits', 'all')", name="what"),
)
