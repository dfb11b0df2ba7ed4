"""Tables of the resolution: whose turn it is to read the history, and what the reads have shown."""

from sqlalchemy import Boolean, CheckConstraint, Column, Float, Index, Table, Text, Uuid, func, text, true

from app.core.database.tables import instant, metadata

history_watch = Table(
    "history_watch",
    metadata,
    Column("id", Boolean, primary_key=True, server_default=true()),
    Column("owner", Uuid, comment="the incarnation of the worker that reads now"),
    instant("lease_until"),
    instant("next_at", nullable=False, server_default=text("'epoch'"), comment="no read before"),
    instant("read_at", comment="when the last whole read began"),
    Column("lag_seconds", Float, comment="how old the newest request of ours was that the last read did not have"),
    instant("resubmits_refuted_at", comment="a request that was proven absent appeared: nothing is resubmitted any more"),
    CheckConstraint("id", name="id"),
    CheckConstraint("(owner IS NULL) = (lease_until IS NULL)", name="owner"),
    comment="One row: who reads the upstream's history for unknown submissions, and when it is read next.",
)

late_requests = Table(
    "late_requests",
    metadata,
    Column("upstream_id", Text, primary_key=True),
    instant("sent_at", nullable=False),
    instant("missed_at", nullable=False, comment="when a read last did not have it"),
    instant("seen_at", comment="when a read first had it"),
    Index("late_requests_sent_at_idx", "sent_at"),
    comment="Accepted requests of ours that a read of the history did not have although they were old enough.",
)

contested_requests = Table(
    "contested_requests",
    metadata,
    Column("upstream_id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    instant("happened_at", nullable=False),
    instant("seen_at", nullable=False, server_default=func.now()),
    instant("settled_at", comment="when it got an owner, or its cost became exposure"),
    Index("contested_requests_open_idx", "happened_at", postgresql_where=text("settled_at IS NULL")),
    comment="Requests of the history that may belong to attempts of several tenants, so that nobody gets them.",
)
