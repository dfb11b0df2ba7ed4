"""Tables of the reconciliation. All amounts are micro-credits."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from app.core.database.tables import instant, metadata, one_of
from app.reconciliation.models import DiscrepancyKind, Result


def _count(name: str, comment: str) -> "Column[int]":
    return Column(name, Integer, nullable=False, server_default="0", comment=comment)


reconciliations = Table(
    "reconciliations",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("asked_by", Text, comment="who asked for it; null: it was due"),
    instant("started_at", nullable=False, server_default=func.now()),
    instant("lease_until", comment="until when its process is believed to be alive"),
    instant("finished_at"),
    instant("since", nullable=False),
    instant("until", nullable=False, comment="the window, in which the requests compared were accepted"),
    instant("read_until", comment="up to where the history was compared; null: it was not"),
    Column("result", Text),
    Column("detail", Text, nullable=False, server_default="", comment="what could not be read, and why"),
    _count("history_rows", "rows of the history that were read"),
    _count("skipped", "rows of the history that name no request, or no time"),
    _count("compared", "requests whose cost was compared"),
    _count("filled", "costs that only the history has told"),
    Column("adjusted_micro", BigInteger, nullable=False, server_default="0", comment="given back to tenants by that"),
    Column("topped_up_micro", BigInteger, nullable=False, server_default="0", comment="credits that came in, at least"),
    _count("found", "discrepancies that are new"),
    _count("settled", "discrepancies that are no more"),
    one_of("result", Result),
    CheckConstraint("since < until", name="window"),
    CheckConstraint("(finished_at IS NULL) = (result IS NULL)", name="finished"),
    CheckConstraint("finished_at IS NOT NULL OR lease_until IS NOT NULL", name="lease"),
    Index(
        "reconciliations_running_idx",
        text("(finished_at IS NULL)"),
        unique=True,
        postgresql_where=text("finished_at IS NULL"),
    ),
)

discrepancies = Table(
    "discrepancies",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False, comment="the upstream's request id, a tenant's id or a reading's number"),
    Column("job_id", Uuid),
    Column("tenant_id", Uuid),
    Column("upstream_id", Text),
    Column("model", Text),
    Column("ours_micro", BigInteger, comment="null: we do not know"),
    Column("theirs_micro", BigInteger, comment="null: they do not know"),
    instant("happened_at", comment="when the request was accepted, or the later reading taken"),
    instant("first_seen_at", nullable=False, server_default=func.now()),
    instant("last_seen_at", nullable=False, server_default=func.now()),
    instant("settled_at", comment="when it was found to be no more"),
    instant("accepted_at", comment="when an operator had seen to it; told anew where the amounts change"),
    Column("accepted_note", Text),
    CheckConstraint("(accepted_at IS NULL) = (accepted_note IS NULL)", name="accepted"),
    one_of("kind", DiscrepancyKind),
    UniqueConstraint("kind", "subject"),
    Index(
        "discrepancies_open_idx", "last_seen_at", postgresql_where=text("settled_at IS NULL AND accepted_at IS NULL")
    ),
)

credit_readings = Table(
    "credit_readings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    instant("asked_at", nullable=False, comment="just before the upstream was asked"),
    instant("at", nullable=False, server_default=func.now(), comment="just after it had answered"),
    Column("paid_micro", BigInteger, nullable=False),
    Column("free_micro", BigInteger, nullable=False),
    Column("previous_id", BigInteger, ForeignKey("credit_readings.id")),
    Column("spent_micro", BigInteger, comment="what is less than at the reading before"),
    Column("least_micro", BigInteger, comment="recorded costs that must be in it"),
    Column("most_micro", BigInteger, comment="with those that may be in it"),
    Column("topped_up_micro", BigInteger, nullable=False, server_default="0", comment="what came in, at least"),
    CheckConstraint(
        "(previous_id IS NULL) = (spent_micro IS NULL) AND (previous_id IS NULL) = (least_micro IS NULL)"
        " AND (previous_id IS NULL) = (most_micro IS NULL)",
        name="previous",
    ),
    Index(None, "previous_id"),
)
