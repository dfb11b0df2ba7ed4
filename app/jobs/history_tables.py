"""Tables of the history of jobs: attempts, events, exchanges, refused submits. `tables` says why no row here has a foreign key to
its job."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    func,
    text,
)

from app.core.database.tables import instant, metadata, one_of
from app.jobs.models import ExchangeKind, Resolution, State, Surface

OUTCOMES = (
    "accepted", "running", "succeeded", "failed", "rejected", "throttled", "account", "not_sent", "unknown", "gone", "trouble",
)  # fmt: skip

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("attempt", SmallInteger, primary_key=True),
    Column("worker", Uuid, nullable=False),
    instant("sent_at", nullable=False, comment="committed just before the first byte"),
    instant("settled_at"),
    Column("outcome", Text, comment="null: on the wire"),
    Column("upstream_id", Text),
    Column(
        "sender_done",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="its sender has recorded all that it knows: no byte of it is sent any more",
    ),
    Column(
        "resolution",
        Text,
        comment="how an unknown outcome was resolved; null: it was not, or the sender learned it",
    ),
    instant("resolved_at"),
    Column(
        "contested",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="a request of the history may be this attempt or one of another tenant",
    ),
    one_of("outcome", ("accepted", "rejected", "throttled", "account", "not_sent", "unknown")),
    CheckConstraint("(outcome IS NULL) = (settled_at IS NULL)", name="settled"),
    CheckConstraint("(outcome IS NOT DISTINCT FROM 'accepted') = (upstream_id IS NOT NULL)", name="accepted"),
    one_of("resolution", Resolution),
    CheckConstraint("(resolution IS NULL) = (resolved_at IS NULL)", name="resolved"),
    Index("attempts_unknown_idx", "sent_at", postgresql_where=text("outcome = 'unknown'")),
    Index("attempts_resolved_idx", "sent_at", postgresql_where=text("resolution IS NOT NULL")),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("seq", Integer, primary_key=True),
    instant("at", nullable=False, server_default=func.now()),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    one_of("from_state", State),
    one_of("to_state", State),
)

upstream_exchanges = Table(
    "upstream_exchanges",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    instant("at", nullable=False, server_default=func.now()),
    Column("kind", Text, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("status_code", SmallInteger),
    Column("outcome", Text, nullable=False),
    Column("duration_seconds", Float, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    one_of("kind", ExchangeKind),
    one_of("outcome", OUTCOMES),
    Index(None, "job_id"),
    Index(None, "at"),
)

upstream_observations = Table(
    "upstream_observations",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    instant("at", nullable=False, server_default=func.now()),
    Column("job_id", Uuid, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("upstream_id", Text, nullable=False, comment="an id that cost money and came too late to be its job's own"),
    Column("worker", Uuid, nullable=False),
    UniqueConstraint("job_id", "attempt", "upstream_id"),
    Index(None, "upstream_id"),
)

refusals = Table(
    "refusals",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    instant("minute", nullable=False, comment="equal refusals within it share this row"),
    instant("received_at", nullable=False, comment="the first of them"),
    instant("last_at", nullable=False),
    Column("tenant_id", Uuid),
    Column("key_id", Uuid),
    Column("surface", Text, nullable=False),
    Column("model", Text),
    Column("status_code", SmallInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("job_id", Uuid, comment="the job a replayed idempotency key led to"),
    Column("count", BigInteger, nullable=False, server_default="1"),
    one_of("surface", Surface),
    UniqueConstraint(
        "minute",
        "tenant_id",
        "key_id",
        "surface",
        "model",
        "status_code",
        "code",
        "job_id",
        name="refusals_equal_key",
        postgresql_nulls_not_distinct=True,
    ),
    Index(None, "received_at"),
)
