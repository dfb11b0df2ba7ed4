"""Which releases the schema serves: it says so itself, so that an older process can tell whether it may go on."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

HERE = Path(__file__).parent


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for part in (HERE / "0015_serves_from.sql").read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE alembic_version DROP COLUMN serves_from")
