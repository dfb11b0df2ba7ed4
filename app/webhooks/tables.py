"""Tables of the webhooks: events, endpoints, targets, deliveries, attempts.

Events, deliveries and attempts have no foreign keys: the statements that write them know the rows that they refer to, and
the check would lock and read one row for each.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.core.database.tables import instant, metadata, one_of
from app.webhooks.models import AttemptOutcome, DeliveryStatus, DisabledReason, EventType, TargetKind

event_feeds = Table(
    "event_feeds",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("last", BigInteger, nullable=False, comment="position of the tenant's latest event"),
)

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("position", BigInteger, nullable=False, comment="1, 2, 3 … of its tenant, in the order of the commits"),
    Column("job_id", Uuid),
    Column("sequence", Integer, nullable=False, comment="rises with every event of a job"),
    instant("created_at", nullable=False, server_default=func.now()),
    Column("type", Text, nullable=False),
    Column("body", LargeBinary, comment="frozen when it is first needed; null: nobody has been shown it yet"),
    one_of("type", EventType),
    CheckConstraint("job_id IS NOT NULL OR body IS NOT NULL", name="body"),
    CheckConstraint("octet_length(body) <= 20000", name="body_bytes"),
    UniqueConstraint("tenant_id", "position"),
    Index("webhook_events_job_idx", "job_id", "type", unique=True, postgresql_where=text("job_id IS NOT NULL")),
)

webhook_targets = Table(
    "webhook_targets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("failures", Integer, nullable=False, server_default="0", comment="failed attempts since the last success"),
    Column("slow_failures", Integer, nullable=False, server_default="0", comment="of these, in a row, the slow ones"),
    Column("spell_failures", Integer, nullable=False, server_default="0", comment="of these, those since failed_since"),
    instant("open_until", comment="circuit breaker: nothing is sent until then"),
    instant("failed_since", comment="the first of a spell of failures within 24 hours"),
    instant(
        "failing_since",
        comment="set once such a spell has lasted 12 hours; five days after it the endpoint is disabled",
    ),
    instant("succeeded_at"),
    instant("disabled_at"),
    Column("disabled_reason", Text),
    one_of("kind", TargetKind),
    one_of("disabled_reason", DisabledReason),
    CheckConstraint("(disabled_at IS NULL) = (disabled_reason IS NULL)", name="disabled"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Uuid, primary_key=True, comment="its target's, too"),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    instant("created_at", nullable=False, server_default=func.now()),
    instant("deleted_at"),
    Column("url", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    CheckConstraint(
        "cardinality(events) > 0 AND events <@ ARRAY['job.completed', 'job.failed', 'job.canceled', 'job.processing',"
        " 'budget.alert', 'endpoint.disabled']",
        name="events",
    ),
    Index(None, "tenant_id"),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("endpoint_id", Uuid, comment="null: signs what goes to URLs of single jobs"),
    instant("created_at", nullable=False, server_default=func.now()),
    instant("expires_at", comment="a newer one has taken its place, and until then both sign"),
    Column("sealed", LargeBinary, nullable=False, comment="AES-GCM under SECRET_KEY, bound to this row's id"),
    Index("webhook_secrets_owner_idx", "tenant_id", "endpoint_id"),
    Index(
        "webhook_secrets_newest_idx",
        "tenant_id",
        "endpoint_id",
        unique=True,
        postgresql_where=text("expires_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    ),
)

job_webhooks = Table(
    "job_webhooks",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("target_id", Uuid, nullable=False, comment="of the URL's server and the tenant"),
    Column("url", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("target_id", Uuid, nullable=False),
    Column("job_id", Uuid),
    instant("created_at", nullable=False, server_default=func.now()),
    instant("due_at", comment="when it is tried next; null unless pending"),
    instant("lease_until", comment="until when the claim of it is believed"),
    instant("delivered_at"),
    Column("owner", Uuid, comment="the incarnation of the worker that claimed it"),
    Column(
        "fence", BigInteger, nullable=False, server_default="0", comment="counts claims; a late writer's is too low"
    ),
    Column("attempts", Integer, nullable=False, server_default="0", comment="POSTs begun"),
    Column("step", SmallInteger, nullable=False, server_default="0", comment="failed ones since it was last set going"),
    Column("last_status_code", SmallInteger),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("url", Text, comment="of a single job; null: the endpoint's"),
    Column("last_error", Text),
    one_of("type", EventType),
    one_of("status", DeliveryStatus),
    CheckConstraint("(status = 'pending') = (due_at IS NOT NULL)", name="due"),
    CheckConstraint("(status = 'sending') = (lease_until IS NOT NULL)", name="lease"),
    CheckConstraint("status <> 'delivered' OR delivered_at IS NOT NULL", name="delivered"),
    CheckConstraint("status <> 'exhausted' OR last_error IS NOT NULL", name="exhausted"),
    UniqueConstraint("event_id", "target_id"),
    Index("webhook_deliveries_pending_idx", "target_id", "due_at", postgresql_where=text("status = 'pending'")),
    Index("webhook_deliveries_due_idx", "due_at", postgresql_where=text("status = 'pending'")),
    Index("webhook_deliveries_sending_idx", "lease_until", postgresql_where=text("status = 'sending'")),
    Index("webhook_deliveries_tenant_idx", "tenant_id", "created_at", "id"),
    Index("webhook_deliveries_job_idx", "job_id", postgresql_where=text("job_id IS NOT NULL")),
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("delivery_id", Uuid, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    instant("at", nullable=False, server_default=func.now(), comment="when what came of it was recorded"),
    Column("duration_seconds", Float),
    Column("status_code", SmallInteger),
    Column("outcome", Text, nullable=False),
    Column("address", Text, comment="the IP address that was dialled"),
    Column("detail", Text, nullable=False, server_default=""),
    Column("answer", LargeBinary, comment="the first 4 kB of the receiver's body"),
    one_of("outcome", AttemptOutcome),
    CheckConstraint("octet_length(answer) <= 4096", name="answer"),
    Index(None, "at"),
)
