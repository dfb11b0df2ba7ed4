"""Tables of what the whole company knows of the upstream just now, and of what operators have stopped."""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
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
    Column(
        "virtual_time",
        Float,
        nullable=False,
        server_default="0",
        comment="where a tenant begins that had nothing to send for a while",
    ),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("paused_reason IN ('throttled', 'account')", name="paused_reason"),
    CheckConstraint("(paused_reason IS NULL) = (paused_until IS NULL)", name="paused"),
)

queues = Table(
    "queues",
    metadata,
    Column("subject_id", Uuid, primary_key=True, comment="a tenant, or one of its keys that has limits of its own"),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("weight", Float, nullable=False, server_default="1", comment="as configured for the tenant"),
    Column(
        "virtual_time",
        Float,
        nullable=False,
        server_default="0",
        comment="micro-credits sent upstream so far by its weight; the lowest goes next",
    ),
    Column("max_in_flight", Integer, comment="as configured; null: no limit"),
    Column("max_queued", Integer, comment="as configured; null: no limit"),
    Column("queued", Integer, nullable=False, server_default="0", comment="jobs in that state"),
    Column("ready", Integer, nullable=False, server_default="0", comment="of those: in line"),
    Column(
        "claimed", Integer, nullable=False, server_default="0", comment="of those: held by a worker, about to be sent"
    ),
    Column("in_flight", Integer, nullable=False, server_default="0", comment="jobs sending, unknown or running"),
    Column(
        "runnable",
        Boolean,
        Computed(
            "subject_id = tenant_id AND ready > claimed AND in_flight + claimed < coalesce(max_in_flight, 2147483647)",
            persisted=True,
        ),
        nullable=False,
        comment="whether a tenant's next job may be sent",
    ),
    CheckConstraint("claimed >= 0 AND in_flight >= 0 AND ready >= claimed AND queued >= ready", name="counts"),
    Index("queues_runnable_idx", "virtual_time", postgresql_where=text("runnable")),
    Index("queues_tenant_idx", "tenant_id"),
    Index("queues_keys_idx", "subject_id", postgresql_where=text("subject_id <> tenant_id")),
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
