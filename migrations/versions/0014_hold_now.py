"""What is held for a job now, beside what was held when it was accepted."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

HERE = Path(__file__).parent


def _run(view: str) -> None:
    for part in (HERE.parent / "views" / f"{view}.sql").read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run("jobs_v3")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP VIEW ops.jobs")
    _run("jobs_v2")
    op.execute("GRANT SELECT ON ops.jobs TO waystation_readonly, waystation_service")
