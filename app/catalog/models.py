"""Table of the catalogue. A model that is not in it is passed through unchecked, or refused, as the settings say."""

from sqlalchemy import Boolean, CheckConstraint, Column, DateTime, Float, Table, Text, func, true
from sqlalchemy.dialects.postgresql import JSONB

from app.core.db import metadata

models = Table(
    "models",
    metadata,
    Column("slug", Text, primary_key=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("schema", JSONB, comment="JSON Schema 2020-12 of the input; null: anything goes"),
    Column("run_seconds", Float, comment="published mean run time, believed until we have measured our own"),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("retired_at", DateTime(timezone=True), comment="since when the upstream no longer has it"),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("slug ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$' AND length(slug) <= 128", name="slug"),
    CheckConstraint("run_seconds > 0", name="run_seconds"),
)
