"""What became of unknown attempts: how each was resolved, and what the reads of the upstream's history have shown.

The constraints are validated by the next revision.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

HERE = Path(__file__).parent


def _run(path: Path) -> None:
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(HERE / "0017_resolutions.sql")
    _run(HERE.parent / "views" / "attempts_v2.sql")
    _run(HERE.parent / "views" / "exposure_v2.sql")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP VIEW ops.attempts, ops.exposure")
    _run(HERE.parent / "views" / "attempts_v1.sql")
    _run(HERE.parent / "views" / "exposure_v1.sql")
    op.execute("GRANT SELECT ON ops.attempts, ops.exposure TO waystation_readonly, waystation_service")
    op.execute("DELETE FROM exposures WHERE job_id IS NULL OR reason = 'corrected'")
    op.execute("ALTER TABLE exposures DROP CONSTRAINT exposures_owner_check, DROP CONSTRAINT exposures_amount_check")
    op.execute("ALTER TABLE exposures DROP CONSTRAINT exposures_reason_check")
    op.execute("ALTER TABLE exposures ALTER COLUMN tenant_id SET NOT NULL, ALTER COLUMN job_id SET NOT NULL")
    op.execute(
        "ALTER TABLE exposures ADD CONSTRAINT exposures_amount_check CHECK (amount >= 0),"
        " ADD CONSTRAINT exposures_reason_check CHECK (reason IN ('cost_above_hold', 'cost_above_price', 'failed', 'lost',"
        " 'unknown', 'second_start'))"
    )
    op.execute("DROP TABLE history_watch, late_requests, contested_requests")
    op.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_running_check, DROP CONSTRAINT jobs_withdrawn_check")
    op.execute(
        "UPDATE jobs SET upstream_id = 'withdrawn-' || id WHERE withdrawn_at IS NOT NULL AND state = 'completed'"
    )
    op.execute("ALTER TABLE jobs DROP COLUMN on_unknown, DROP COLUMN recovered, DROP COLUMN withdrawn_at")
    op.execute(
        "ALTER TABLE jobs ADD CONSTRAINT jobs_running_check CHECK (state NOT IN ('running', 'completed')"
        " OR (upstream_id IS NOT NULL AND submitted_at IS NOT NULL))"
    )
    op.execute(
        "ALTER TABLE attempts DROP COLUMN sender_done, DROP COLUMN resolution, DROP COLUMN resolved_at, DROP COLUMN contested"
    )
