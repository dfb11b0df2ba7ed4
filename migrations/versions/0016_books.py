"""Which books these are, and whether they may be older than what was sent."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

HERE = Path(__file__).parent


def _run(path: Path) -> None:
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(HERE / "0016_books.sql")
    _run(HERE.parent / "views" / "pauses_v3.sql")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP VIEW ops.pauses")
    _run(HERE.parent / "views" / "pauses_v2.sql")
    op.execute("GRANT SELECT ON ops.pauses TO waystation_readonly, waystation_service")
    op.execute("ALTER TABLE processes DROP COLUMN beats, DROP COLUMN vouched_for")
    op.execute("ALTER TABLE pauses DROP COLUMN reason")
    op.execute("DROP TABLE books")
