"""Table of live processes: which of them believe they are alive, and until when to believe them."""

from sqlalchemy import CheckConstraint, Column, DateTime, Index, Integer, Table, Text, Uuid, func

from app.core.db import metadata

processes = Table(
    "processes",
    metadata,
    Column("id", Uuid, primary_key=True, comment="the incarnation: new at every start"),
    Column("kind", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("beat_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("stopped_at", DateTime(timezone=True), comment="set by a process that ends in order"),
    CheckConstraint("kind IN ('api', 'worker')", name="kind"),
    Index(None, "beat_at"),
)
