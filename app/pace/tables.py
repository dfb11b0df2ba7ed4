"""Tables of what the company currently knows of the upstream, and of what is paused."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    func,
)

from app.core.database.tables import metadata

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
    Column("rate", Float, nullable=False, server_default="20", comment="requests a second that may go out"),
    Column("limit_per_minute", Float, comment="what the upstream was last seen to take; null: it has never said 429"),
    Column(
        "tokens",
        Float,
        nullable=False,
        server_default="0",
        comment="requests that might go out at refilled_at; below zero: a debt",
    ),
    Column(
        "read_tokens",
        Float,
        nullable=False,
        server_default="0",
        comment="the same for polls and fetches, while they do not count towards the limit",
    ),
    Column(
        "refilled_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="the instant of tokens and read_tokens",
    ),
    Column(
        "cut_at",
        DateTime(timezone=True),
        nullable=False,
        server_default="epoch",
        comment="when the last 429 was understood; those of requests sent before belong to it",
    ),
    Column(
        "resume_at",
        DateTime(timezone=True),
        nullable=False,
        server_default="epoch",
        comment="nothing that counts goes out before",
    ),
    Column(
        "ramp_seconds",
        Float,
        nullable=False,
        server_default="0",
        comment="for how long since then only the budget has held us back",
    ),
    Column(
        "relapses", Integer, nullable=False, server_default="0", comment="429s in a row, each soon after the one before"
    ),
    Column(
        "doubt",
        Float,
        nullable=False,
        server_default="0",
        comment="how unlikely it is, in nats, that polls and fetches count and none was refused",
    ),
    Column(
        "trial_reads",
        Integer,
        nullable=False,
        server_default="0",
        comment="so many may go out before resume_at, to find that out",
    ),
    Column("trial_at", DateTime(timezone=True), nullable=False, server_default="epoch", comment="no trial before"),
    Column(
        "minute_seen",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="whether a reset was too far away for a bucket's",
    ),
    Column(
        "learned_at",
        DateTime(timezone=True),
        nullable=False,
        server_default="epoch",
        comment="up to when the budget has been judged",
    ),
    Column("broken_at", DateTime(timezone=True), comment="since when hardly anything is answered; null: all is well"),
    Column(
        "alarmed_at",
        DateTime(timezone=True),
        nullable=False,
        server_default="epoch",
        comment="when a process last suspected that the upstream is away; for ten seconds all tell what they hear",
    ),
    Column(
        "judged_at",
        DateTime(timezone=True),
        nullable=False,
        server_default="epoch",
        comment="answers from before do not count in that",
    ),
    Column(
        "ease_rate",
        Float,
        nullable=False,
        server_default="10000",
        comment="requests a second at most, after that; doubles until nobody feels it",
    ),
    Column("ceiling_per_minute", Float, comment="as configured; null: none"),
    Column("max_in_flight", Integer, comment="as configured, over all tenants; null: no limit"),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("paused_reason IN ('account')", name="paused_reason"),
    CheckConstraint("(paused_reason IS NULL) = (paused_until IS NULL)", name="paused"),
    CheckConstraint(
        "rate > 0 AND limit_per_minute > 0 AND ease_rate > 0 AND ceiling_per_minute > 0 AND max_in_flight >= 0",
        name="budget",
    ),
)

upstream_seconds = Table(
    "upstream_seconds",
    metadata,
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("submits", Integer, nullable=False, server_default="0", comment="granted"),
    Column("reads", Integer, nullable=False, server_default="0", comment="polls and fetches, granted"),
    Column("refused_submits", Integer, nullable=False, server_default="0", comment="of those: answered 429"),
    Column("refused_reads", Integer, nullable=False, server_default="0", comment="of those: answered 429"),
    Column(
        "answers",
        Integer,
        nullable=False,
        server_default="0",
        comment="not counted any more; see upstream_health",
    ),
    Column("troubles", Integer, nullable=False, server_default="0", comment="not counted any more"),
)

upstream_health = Table(
    "upstream_health",
    metadata,
    Column("job_id", Uuid, primary_key=True, comment="a job, or one request for our balance"),
    Column("tenant_id", Uuid, nullable=False, comment="zeros: the balance"),
    Column("model", Text, nullable=False, comment="empty: the balance"),
    Column("at", DateTime(timezone=True), nullable=False, comment="when its last exchange ended"),
    Column("failed", Boolean, nullable=False, comment="whether that was silence, a broken connection or a 5xx"),
    Index("upstream_health_at_idx", "at"),
)

upstream_balances = Table(
    "upstream_balances",
    metadata,
    Column(
        "micro",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="micro-credits that were left of the company's, without their sign",
    ),
    Column(
        "at",
        DateTime(timezone=True),
        primary_key=True,
        server_default=func.now(),
        comment="when some process had read it; a day later it is dropped",
    ),
    Index(None, "at"),
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
    Column(
        "probe_at",
        DateTime(timezone=True),
        comment="of a pause that the upstream caused: when one job of the scope may be sent next, to find out whether it"
        " is over. Null: only an operator lifts it",
    ),
    Column("probe_job_id", Uuid, comment="the job that may be sent in spite of the pause"),
    Column("refusals", Integer, nullable=False, server_default="0", comment="probes in a row that were answered 403"),
    Column(
        "reason",
        Text,
        comment="restored: the database may be older than what was sent, and waystation recover ends the pause. Null: an operator's, or the upstream's",
    ),
    UniqueConstraint("tenant_id", "model", name="pauses_scope_key", postgresql_nulls_not_distinct=True),
    CheckConstraint("what IN ('submits', 'all')", name="what"),
)

forbidden_answers = Table(
    "forbidden_answers",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), primary_key=True),
    Column("model", Text, primary_key=True),
    Column("last_at", DateTime(timezone=True), nullable=False, comment="the latest of them"),
    Column(
        "last_body",
        LargeBinary,
        nullable=False,
        comment="SHA-256 of that submit's canonical body without its seed",
    ),
    Column("other_at", DateTime(timezone=True), comment="the latest one to another body; null: there was none"),
    Column(
        "alone",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="whether a submit of another tenant for the model was accepted since: then it says nothing about other tenants",
    ),
    CheckConstraint("octet_length(last_body) = 32", name="last_body"),
    Index(None, "model"),
    Index(None, "last_at"),
    comment="The latest 403s with a JSON body to submits of a tenant for a model; one row each, forgotten after an hour."
    " An accepted submit of the tenant for the model deletes its row",
)
