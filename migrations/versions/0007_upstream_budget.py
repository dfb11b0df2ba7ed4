"""The upstream's budget: how many requests a second may go out, what is known of the limit, and what went out lately."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

HERE = Path(__file__).parent
COLUMNS = (
    "rate", "limit_per_minute", "tokens", "read_tokens", "refilled_at", "cut_at", "resume_at", "ramp_seconds",
    "relapses", "doubt", "trial_reads", "trial_at", "minute_seen", "learned_at", "broken_at", "judged_at", "ease_rate",
    "ceiling_per_minute", "max_in_flight",
)  # fmt: skip


def _run(path: Path) -> None:
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(HERE / "0007_upstream_budget.sql")
    _run(HERE.parent / "views" / "upstream_now_v2.sql")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP VIEW ops.upstream_now")
    _run(HERE.parent / "views" / "upstream_now_v1.sql")
    op.execute("GRANT SELECT ON ops.upstream_now TO waystation_readonly, waystation_service")
    op.execute("DROP INDEX jobs_expiry_idx")
    op.execute("DROP TABLE upstream_seconds")
    op.execute("ALTER TABLE upstream_state " + ", ".join(f"DROP COLUMN {column}" for column in COLUMNS))
    op.execute("ALTER TABLE upstream_state DROP CONSTRAINT upstream_state_paused_reason_check")
    op.execute(
        "ALTER TABLE upstream_state ADD CONSTRAINT upstream_state_paused_reason_check"
        " CHECK (paused_reason IN ('throttled', 'account'))"
    )
