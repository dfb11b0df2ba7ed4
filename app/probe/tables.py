"""Tables of probes and of what they have learned."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, LargeBinary, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

from app.core.database.tables import instant, metadata, one_of
from app.probe.models import FactName, ProbeOutcome

probes = Table(
    "probes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("model", Text, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="the parameters, as they were sent"),
    Column("max_cost_micro", BigInteger, nullable=False, comment="what the operator allowed, in micro-credits"),
    Column("asked_by", Text, nullable=False),
    instant("created_at", nullable=False, server_default=func.now()),
    instant("sent_at", comment="committed just before the first byte; null: nothing was sent"),
    Column("outcome", Text, nullable=False, server_default="unknown"),
    Column("upstream_id", Text, comment="null: the upstream did not accept it, or its answer was lost"),
    Column("cost_micro", BigInteger, comment="what the upstream charged, in micro-credits; null: not known"),
    instant("ended_at", comment="when its end was seen"),
    Column(
        "note", Text, nullable=False, server_default="", comment="why it ended so, or why it was not watched to its end"
    ),
    Column("seen", JSONB, comment="all that it saw: shapes without values"),
    one_of("outcome", ProbeOutcome),
    CheckConstraint("(outcome = 'unknown') = (ended_at IS NULL)", name="ended"),
    CheckConstraint("upstream_id IS NULL OR sent_at IS NOT NULL", name="sent"),
    CheckConstraint("outcome NOT IN ('completed', 'failed') OR upstream_id IS NOT NULL", name="known"),
    CheckConstraint("max_cost_micro >= 0 AND cost_micro >= 0", name="amounts"),
    Index("probes_upstream_id_idx", "upstream_id"),
    Index("probes_sent_at_idx", "sent_at"),
    comment="Real jobs at the upstream that operators asked for, to see how it behaves. They are no tenant's.",
)

upstream_facts = Table(
    "upstream_facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
    instant("learned_at", nullable=False, server_default=func.now()),
    Column("probe_id", Uuid, ForeignKey("probes.id"), nullable=False),
    one_of("name", FactName),
    Index(None, "probe_id"),
    comment="What the last probe that could see it has learned of the upstream.",
)
