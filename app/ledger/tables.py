"""Tables of the ledger. All amounts are micro-credits.

Transfers have no foreign key to balances: only statements that change the locked balance write them, and the check would
cost each job twice as much as the rest of its row.

A hold is resolved once: posted in part or in whole, or released. The trigger `transfers_resolve` compares a resolution with
its hold. The trigger `tenants_balance` creates the balance of each new tenant.

        grant ──> available ──hold──> held ──post──> posted (the rest of the hold becomes available again)
                     │  ▲              │
          expire ────┘  └───release────┘           adjust: an operator's correction, or of a charge once its cost is known

Credit that expires is in lots. A hold draws on the lot that expires first, and last on credit that never expires. Returned
credit goes back to its source; if its lot has expired meanwhile, it expires immediately. Incoming credit first fills an
overdraft; that part is spent and no longer expires.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
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

from app.core.database.tables import metadata, one_of
from app.ledger.models import ExposureReason, Period, TransferKind


def _micro(name: str, **options: object) -> "Column[object]":
    return Column(name, BigInteger, nullable=False, server_default="0", **options)  # type: ignore[arg-type]


balances = Table(
    "balances",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), primary_key=True),
    _micro("granted", comment="grants and adjustments, less what has expired"),
    _micro("posted", comment="charges"),
    _micro("held", comment="holds that are not resolved"),
    _micro("overdraft", comment="how far below nothing the tenant may go"),
    _micro("expiring", comment="of what is available: credit in lots, which will expire"),
    CheckConstraint("granted - posted - held >= -overdraft", name="available"),
    CheckConstraint("posted >= 0 AND held >= 0 AND overdraft >= 0", name="positive"),
    CheckConstraint("expiring BETWEEN 0 AND greatest(granted - posted - held, 0)", name="expiring"),
)

transfers = Table(
    "transfers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="micro-credits; of an adjustment: what the tenant gains"),
    Column("job_id", Uuid),
    Column("key_id", Uuid, comment="of a hold: the key its job came by"),
    Column("hold_id", Uuid, comment="the hold this resolves"),
    Column("lot_id", Uuid, comment="the grant whose credit this expires"),
    Column("reference", Text, comment="a grant's own name at the tenant: the same twice is one grant"),
    Column("note", Text),
    Column("expires_at", DateTime(timezone=True), comment="of a grant"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    one_of("kind", TransferKind),
    CheckConstraint("CASE kind WHEN 'adjust' THEN amount <> 0 ELSE amount >= 0 END", name="amount"),
    CheckConstraint("kind NOT IN ('hold', 'post', 'release') OR job_id IS NOT NULL", name="job"),
    CheckConstraint("(kind IN ('post', 'release')) = (hold_id IS NOT NULL)", name="hold"),
    CheckConstraint("(kind = 'expire') = (lot_id IS NOT NULL)", name="lot"),
    CheckConstraint("(kind = 'grant') = (reference IS NOT NULL)", name="reference"),
    CheckConstraint("kind = 'grant' OR expires_at IS NULL", name="expires_at"),
    Index("transfers_resolution_idx", "hold_id", unique=True, postgresql_where=text("kind IN ('post', 'release')")),
    Index("transfers_job_idx", "job_id", postgresql_where=text("job_id IS NOT NULL")),
    Index("transfers_tenant_idx", "tenant_id", "created_at", "id"),
    Index(
        "transfers_reference_idx",
        "tenant_id",
        "reference",
        unique=True,
        postgresql_where=text("reference IS NOT NULL"),
    ),
)

lots = Table(
    "lots",
    metadata,
    Column("id", Uuid, primary_key=True, comment="its grant"),
    Column("tenant_id", Uuid, ForeignKey("balances.tenant_id"), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("amount", BigInteger, nullable=False, comment="of the grant"),
    Column("left_micro", BigInteger, nullable=False, comment="neither held nor spent nor expired"),
    Column("expired_at", DateTime(timezone=True), comment="when what was left of it was taken away"),
    CheckConstraint("left_micro BETWEEN 0 AND amount", name="left_micro"),
    CheckConstraint("expired_at IS NULL OR left_micro = 0", name="expired"),
    Index("lots_expires_at_idx", "expires_at", postgresql_where=text("expired_at IS NULL")),
    Index("lots_tenant_idx", "tenant_id", "expires_at", "id"),
)

allocations = Table(
    "allocations",
    metadata,
    Column("hold_id", Uuid, primary_key=True),
    Column("lot_id", Uuid, ForeignKey("lots.id"), primary_key=True),
    Column("amount", BigInteger, nullable=False, comment="of the hold, out of the lot"),
    CheckConstraint("amount > 0", name="amount"),
    Index("allocations_lot_idx", "lot_id"),
)

budgets = Table(
    "budgets",
    metadata,
    Column("subject_id", Uuid, primary_key=True, comment="a tenant, or one of its keys"),
    Column("period", Text, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("balances.tenant_id"), nullable=False),
    Column("limit_micro", BigInteger, nullable=False),
    Column("starts_on", Date, nullable=False, comment="the first day of the period that `spent_micro` is about"),
    _micro("spent_micro", comment="charges and open holds of jobs accepted in the period"),
    Column("alerted_percent", SmallInteger, nullable=False, server_default="0"),
    one_of("period", Period),
    CheckConstraint("limit_micro >= 0 AND spent_micro >= 0", name="positive"),
    CheckConstraint("alerted_percent IN (0, 50, 80, 100)", name="alerted_percent"),
    Index("budgets_tenant_idx", "tenant_id"),
)

budget_alerts = Table(
    "budget_alerts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("tenant_id", Uuid, ForeignKey("balances.tenant_id"), nullable=False),
    Column("subject_id", Uuid, nullable=False),
    Column("period", Text, nullable=False),
    Column("starts_on", Date, nullable=False),
    Column("percent", SmallInteger, nullable=False),
    Column("spent_micro", BigInteger, nullable=False),
    Column("limit_micro", BigInteger, nullable=False),
    one_of("period", Period),
    CheckConstraint("percent IN (50, 80, 100)", name="percent"),
    UniqueConstraint("subject_id", "period", "starts_on", "percent"),
    Index("budget_alerts_tenant_idx", "tenant_id", "id"),
)

exposures = Table(
    "exposures",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("tenant_id", Uuid, ForeignKey("balances.tenant_id")),
    Column("job_id", Uuid),
    Column("upstream_id", Text, comment="of a second start"),
    Column("reason", Text, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="micro-credits; what we would expect where nobody has told"),
    one_of("reason", ExposureReason),
    CheckConstraint("amount >= 0 OR reason = 'corrected'", name="amount"),
    CheckConstraint(
        "(job_id IS NULL) = (reason = 'unassigned') AND (tenant_id IS NULL) = (job_id IS NULL)", name="owner"
    ),
    Index(
        "exposures_once_idx",
        "job_id",
        "reason",
        "upstream_id",
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=text("reason <> 'corrected'"),
    ),
    Index("exposures_tenant_idx", "tenant_id"),
    Index("exposures_at_idx", "at"),
)

usage_hours = Table(
    "usage_hours",
    metadata,
    Column("hour", DateTime(timezone=True), nullable=False, comment="in which the jobs ended"),
    Column("tenant_id", Uuid, ForeignKey("balances.tenant_id"), nullable=False),
    Column("key_id", Uuid),
    Column("model", Text, nullable=False),
    Column("completed", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("canceled", Integer, nullable=False, server_default="0"),
    _micro("charged_micro"),
    _micro("cost_micro", comment="what the upstream reported"),
    Column("run_seconds", Float, nullable=False, server_default="0", comment="sum over the completed"),
    UniqueConstraint(
        "tenant_id", "hour", "key_id", "model", name="usage_hours_key", postgresql_nulls_not_distinct=True
    ),
    Index("usage_hours_hour_idx", "hour"),
)
