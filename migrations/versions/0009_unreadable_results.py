"""Results that cannot be read end their jobs, and whether the upstream is away is judged by jobs, models and tenants."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

HERE = Path(__file__).parent


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for part in (HERE / "0009_unreadable_results.sql").read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE upstream_health")
    op.execute("ALTER TABLE upstream_state DROP COLUMN alarmed_at")
    op.execute(
        "UPDATE jobs SET error_code = 'result_lost' WHERE error_code IN ('result_too_large', 'result_unreadable')"
    )
    op.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_error_code_check, DROP COLUMN unreadable")
    op.execute(
        "ALTER TABLE jobs ADD CONSTRAINT jobs_error_code_check CHECK (error_code IN ("
        "'upstream_failed', 'content_blocked', 'upstream_rejected', 'upstream_unavailable', 'submission_unknown',"
        " 'result_lost', 'deadline_exceeded', 'poison'))"
    )
