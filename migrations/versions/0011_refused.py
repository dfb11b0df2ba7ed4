"""The limit on a tenant's refused submits."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

HERE = Path(__file__).parent


def _run(path: Path) -> None:
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(HERE / "0011_refused.sql")
    _run(HERE.parent / "views" / "tenants_now_v2.sql")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP VIEW ops.tenants_now")
    _run(HERE.parent / "views" / "tenants_now_v1.sql")
    op.execute("GRANT SELECT ON ops.tenants_now TO waystation_readonly, waystation_service")
    op.execute("ALTER TABLE tenants DROP COLUMN refused_per_minute")
