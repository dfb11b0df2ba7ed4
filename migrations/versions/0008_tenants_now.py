"""What each tenant has at this moment, from the counts that are kept instead of its jobs."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

HERE = Path(__file__).parent
VIEWS = ("queue_now_v2", "tenants_now_v1")


def _run(view: str) -> None:
    for part in (HERE.parent / "views" / f"{view}.sql").read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for view in VIEWS:
        _run(view)
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA ops TO waystation_readonly, waystation_service")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP VIEW ops.tenants_now")
    op.execute("DROP VIEW ops.queue_now")
    _run("queue_now_v1")
    op.execute("GRANT SELECT ON ops.queue_now TO waystation_readonly, waystation_service")
