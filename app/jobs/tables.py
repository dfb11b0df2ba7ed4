"""Tables of jobs, their inputs and results, and the queues that count them. `history_tables` has what happened to them.

Rows that belong to a job have no foreign key to it. Only the statement that changes the job writes them. A foreign key would
lock and read the job's row seven times in its life, and old jobs are to be removed by dropping partitions.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.core.database.tables import instant, metadata, one_of
from app.jobs.models import ErrorCode, OnUnknown, State, Surface

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("key_id", Uuid),
    Column("surface", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False, server_default="5"),
    Column("revision", Integer, nullable=False, server_default="1", comment="seq of its latest event"),
    instant("created_at", nullable=False),
    instant("due_at", comment="when the engine must look next; infinity: when a pause is lifted; null when final"),
    Column(
        "ready",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="whether it stands in line: queued, due, and not set aside",
    ),
    instant(
        "rank_at",
        comment="its place in its tenant's line: since when it may be sent, a minute earlier for each level of priority",
    ),
    instant("deadline_at"),
    instant("lease_until", comment="until when its owner's claim is believed"),
    Column("owner", Uuid, comment="the incarnation of the process that claimed it"),
    Column(
        "fence", BigInteger, nullable=False, server_default="0", comment="counts claims; a late writer's is too low"
    ),
    Column("attempt", SmallInteger, nullable=False, server_default="0", comment="attempts opened so far"),
    Column(
        "retries", SmallInteger, nullable=False, server_default="0", comment="tries in a row that brought us no further"
    ),
    Column(
        "takeovers",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="holders in a row that let their claim run out; three are poison",
    ),
    Column("upstream_id", Text),
    Column("upstream_state", Text),
    instant("sent_at"),
    instant("submitted_at", comment="when the upstream's acceptance was recorded"),
    instant("started_at", comment="when it was first seen PROCESSING upstream"),
    instant("gone_since", comment="the first of the 404s in a row"),
    Column(
        "unreadable",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="answers in a row that came whole and could not be read",
    ),
    instant("finished_at"),
    instant("cancel_requested_at"),
    Column("polls", Integer, nullable=False, server_default="0"),
    Column("error_code", Text),
    Column("run_seconds", Float, comment="from acceptance to the upstream's end, as it told or as we could bound it"),
    Column("detection_seconds", Float, comment="from the upstream's end until we knew"),
    Column("cost_micro", BigInteger, comment="what the upstream reported, in micro-credits; null: not told"),
    Column("held_micro", BigInteger, nullable=False, server_default="0", comment="the hold: what it may cost at most"),
    Column("charged_micro", BigInteger, nullable=False, server_default="0", comment="what its tenant has paid"),
    Column("price_rule", Text, nullable=False, server_default="metered", comment="as it was when it was accepted"),
    Column("markup_micro", BigInteger, nullable=False, server_default="1000000"),
    Column("late_result", Boolean, nullable=False, server_default=false()),
    Column(
        "on_unknown",
        Text,
        nullable=False,
        server_default="hold",
        comment="resubmit: one more attempt once it is proven that the first did not arrive",
    ),
    Column(
        "recovered",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="its result came from the upstream's history",
    ),
    instant("withdrawn_at", comment="when its result was found to be another job's, and taken from it"),
    Column("idempotency_key", Text),
    Column("fingerprint", LargeBinary, comment="SHA-256 of the canonical JSON of model and input"),
    one_of("state", State),
    one_of("surface", Surface),
    one_of("error_code", ErrorCode),
    one_of("upstream_state", ("QUEUED", "PROCESSING", "COMPLETED")),
    CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
    CheckConstraint("(state IN ('completed', 'failed', 'canceled')) = (finished_at IS NOT NULL)", name="finished"),
    CheckConstraint("(due_at IS NULL) = (finished_at IS NOT NULL)", name="due"),
    CheckConstraint("finished_at IS NULL OR (lease_until IS NULL AND owner IS NULL)", name="final_is_free"),
    CheckConstraint("state <> 'queued' OR upstream_id IS NULL", name="queued"),
    CheckConstraint("state NOT IN ('sending', 'unknown') OR (attempt > 0 AND upstream_id IS NULL)", name="sending"),
    CheckConstraint(
        "state NOT IN ('running', 'completed') OR (upstream_id IS NOT NULL AND submitted_at IS NOT NULL)"
        " OR (state = 'completed' AND withdrawn_at IS NOT NULL)",
        name="running",
    ),
    CheckConstraint(
        "withdrawn_at IS NULL OR (finished_at IS NOT NULL AND upstream_id IS NULL AND charged_micro = 0)",
        name="withdrawn",
    ),
    one_of("on_unknown", OnUnknown),
    CheckConstraint("(state = 'failed') = (error_code IS NOT NULL)", name="failed"),
    CheckConstraint("state <> 'canceled' OR cancel_requested_at IS NOT NULL", name="canceled"),
    CheckConstraint("charged_micro BETWEEN 0 AND held_micro", name="charged"),
    CheckConstraint("charged_micro = 0 OR (finished_at IS NOT NULL AND state <> 'failed')", name="free"),
    one_of("price_rule", ("metered", "fixed")),
    CheckConstraint("(idempotency_key IS NULL) = (fingerprint IS NULL)", name="idempotency"),
    CheckConstraint("state <> 'queued' OR rank_at IS NOT NULL", name="rank"),
    CheckConstraint("NOT ready OR state = 'queued'", name="ready"),
    CheckConstraint("state <> 'queued' OR owner IS NULL OR ready", name="claimed"),
    Index("jobs_line_idx", "tenant_id", "rank_at", postgresql_where=text("ready")),
    Index("jobs_aside_idx", "key_id", "rank_at", postgresql_where=text("state = 'queued' AND due_at = 'infinity'")),
    Index("jobs_waiting_idx", "due_at", postgresql_where=text("state = 'queued' AND NOT ready")),
    Index("jobs_running_idx", "due_at", postgresql_where=text("state = 'running'")),
    Index("jobs_expiry_idx", "submitted_at", postgresql_where=text("state = 'running'")),
    Index("jobs_sending_idx", "sent_at", postgresql_where=text("state = 'sending'")),
    Index("jobs_unknown_idx", "due_at", postgresql_where=text("state = 'unknown'")),
    Index("jobs_deadline_idx", "deadline_at", postgresql_where=text("state = 'queued' AND deadline_at IS NOT NULL")),
    Index("jobs_suspect_idx", "due_at", postgresql_where=text("takeovers > 0")),
    Index("jobs_tenant_idx", "tenant_id", "created_at", "id"),
    # only of finished jobs: otherwise each change of a job, about twenty in its life, would write to these indexes
    Index(
        "jobs_status_idx", "tenant_id", "state", "created_at", "id", postgresql_where=text("finished_at IS NOT NULL")
    ),
    Index("jobs_model_idx", "tenant_id", "model", "created_at", "id", postgresql_where=text("finished_at IS NOT NULL")),
    Index("jobs_parked_idx", "tenant_id", "created_at", "id", postgresql_where=text("state = 'queued' AND NOT ready")),
    Index(
        "jobs_idempotency_idx",
        "tenant_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
    Index("jobs_upstream_idx", "upstream_id", unique=True, postgresql_where=text("upstream_id IS NOT NULL")),
    Index(
        "jobs_times_idx",
        "sent_at",
        "finished_at",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    ),
    Index("jobs_run_times_idx", "model", "finished_at", postgresql_where=text("state = 'completed'")),
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
    Column(
        "kept_out",
        Boolean,
        Computed("subject_id <> tenant_id AND queued > ready", persisted=True),
        nullable=False,
        comment="whether jobs of a key are not in line: set aside at its limit, or not due",
    ),
    CheckConstraint("claimed >= 0 AND in_flight >= 0 AND ready >= claimed AND queued >= ready", name="counts"),
    Index("queues_runnable_idx", "virtual_time", postgresql_where=text("runnable")),
    Index("queues_tenant_idx", "tenant_id"),
    Index("queues_kept_out_idx", "subject_id", postgresql_where=text("kept_out")),
)

job_inputs = Table(
    "job_inputs",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("body", LargeBinary, nullable=False, comment="the parameters, byte for byte as they came"),
    Column("metadata", JSONB),
)

job_metadata = Table(
    "job_metadata",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column(
        "term",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="metadata_term of a key and its value as text; two members may share one",
    ),
    instant("created_at", primary_key=True, comment="the job's, so that lists find the newest first"),
    Column("job_id", Uuid, primary_key=True),
)
"""Finds jobs by a member of their metadata. A trigger on `job_inputs` maintains it."""

job_results = Table(
    "job_results",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column(
        "body", LargeBinary, comment="the upstream's last word, byte for byte; null where the end was our own doing"
    ),
    Column("message", Text, comment="why it FAILED, for people"),
    Column(
        "original",
        LargeBinary,
        comment="the upstream's error as it came, where body and message leave something out: AES-GCM under SECRET_KEY,"
        " bound to the job's id",
    ),
)
