"""What the upstream's 403s say of a model, and pauses that end when the upstream accepts a submit again."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

HERE = Path(__file__).parent


def _run(path: Path) -> None:
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(HERE / "0010_forbidden.sql")
    _run(HERE.parent / "views" / "pauses_v2.sql")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP VIEW ops.pauses")
    _run(HERE.parent / "views" / "pauses_v1.sql")
    op.execute("GRANT SELECT ON ops.pauses TO waystation_readonly, waystation_service")
    op.execute("ALTER TABLE pauses DROP COLUMN probe_at, DROP COLUMN probe_job_id, DROP COLUMN refusals")
    op.execute("DROP TABLE forbidden_answers")
