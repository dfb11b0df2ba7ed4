"""The table of the catalogue. A model that is not in it is sent unchecked, or refused, as the settings say."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, DateTime, Float, Integer, Table, Text, func, true
from sqlalchemy.dialects.postgresql import JSONB

from app.core.database.tables import metadata

models = Table(
    "models",
    metadata,
    Column("slug", Text, primary_key=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("schema", JSONB, comment="JSON Schema 2020-12 of the input; null: anything goes"),
    Column("run_seconds", Float, comment="published mean run time, believed until we have measured our own"),
    Column("modality", Text),
    Column("price_micro", BigInteger, comment="what a job is quoted, in micro-credits; null: no price is set"),
    Column("price_rule", Text, nullable=False, server_default="metered"),
    Column("markup_micro", BigInteger, nullable=False, server_default="1000000", comment="a million is once the cost"),
    Column("cost_micro", BigInteger, comment="published mean cost in micro-credits"),
    Column(
        "above_hold_count", Integer, nullable=False, server_default="0", comment="jobs that cost more than was held"
    ),
    Column("disabled_reason", Text),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("retired_at", DateTime(timezone=True), comment="since when the upstream no longer has it"),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("slug ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$' AND length(slug) <= 128", name="slug"),
    CheckConstraint("run_seconds > 0", name="run_seconds"),
    CheckConstraint("price_micro >= 0", name="price_micro"),
    CheckConstraint("price_rule IN ('metered', 'fixed')", name="price_rule"),
    CheckConstraint("markup_micro BETWEEN 0 AND 1000000000", name="markup_micro"),
    CheckConstraint("cost_micro >= 0", name="cost_micro"),
)
