"""Tenants' limits and weights, the line each tenant's jobs stand in, and how many stand there.

Stop the workers and APIs of the version before: they would not keep the counts.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

HERE = Path(__file__).parent


def _run(path: Path) -> None:
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(HERE / "0006_queues.sql")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE upstream_state DROP COLUMN virtual_time")
    op.execute("DROP TRIGGER tenants_queue ON tenants")
    op.execute("DROP TRIGGER api_keys_queue ON api_keys")
    op.execute("DROP TABLE queues")
    op.execute("DROP FUNCTION keep_queue")
    op.execute("CREATE INDEX jobs_queued_idx ON jobs (priority DESC, due_at) WHERE state = 'queued'")
    op.execute("ALTER TABLE jobs DROP COLUMN ready, DROP COLUMN rank_at")
    op.execute(
        "ALTER TABLE api_keys DROP COLUMN rate_per_minute, DROP COLUMN burst, DROP COLUMN max_in_flight,"
        " DROP COLUMN max_queued"
    )
    op.execute(
        "ALTER TABLE tenants DROP COLUMN weight, DROP COLUMN rate_per_minute, DROP COLUMN burst,"
        " DROP COLUMN max_in_flight, DROP COLUMN max_queued"
    )
