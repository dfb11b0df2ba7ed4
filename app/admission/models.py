"""Table of what the whole company knows of the upstream just now."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, Column, DateTime, SmallInteger, Table, Text, func

from app.core.db import metadata


class PauseReason(StrEnum):
    """Why submits wait: the upstream asked us to slow down, or our account there is in trouble."""

    THROTTLED = "throttled"
    ACCOUNT = "account"


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
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("paused_reason IN ('throttled', 'account')", name="paused_reason"),
    CheckConstraint("(paused_reason IS NULL) = (paused_until IS NULL)", name="paused"),
)
