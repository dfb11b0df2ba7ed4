"""Webhooks: events, endpoints, deliveries and their attempts; jobs that ended before get their events, too."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

HERE = Path(__file__).parent
VIEWS = ("webhook_deliveries_v1", "webhook_endpoints_v1")


def _run(path: Path) -> None:
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(HERE / "0003_webhooks.sql")
    for view in VIEWS:
        _run(HERE.parent / "views" / f"{view}.sql")
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA ops TO waystation_readonly, waystation_service")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for view in ("webhook_deliveries", "webhook_endpoints"):
        op.execute(f"DROP VIEW ops.{view}")
    for table in (
        "webhook_attempts", "webhook_deliveries", "job_webhooks", "webhook_secrets", "webhook_endpoints",
        "webhook_targets", "webhook_events", "event_feeds",
    ):  # fmt: skip
        op.execute(f"DROP TABLE {table}")
