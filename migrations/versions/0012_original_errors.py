"""The upstream's errors as they came, sealed; and the balances that are left out of what is shown."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

HERE = Path(__file__).parent


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for part in (HERE / "0012_original_errors.sql").read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE upstream_balances")
    op.execute("ALTER TABLE job_results DROP COLUMN original")
