"""Reconciliations, what they find, and readings of the company's credits; how to find the jobs of a window."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

HERE = Path(__file__).parent
VIEWS = ("reconciliations_v1", "discrepancies_v1")


def _run(path: Path) -> None:
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(HERE / "0005_reconciliation.sql")
    for view in VIEWS:
        _run(HERE.parent / "views" / f"{view}.sql")
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA ops TO waystation_readonly, waystation_service")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP VIEW ops.reconciliations")
    op.execute("DROP VIEW ops.discrepancies")
    op.execute("DROP TABLE reconciliations")
    op.execute("DROP TABLE discrepancies")
    op.execute("DROP TABLE credit_readings")
    op.execute("DROP INDEX upstream_observations_upstream_id_idx")
    op.execute("DROP INDEX jobs_times_idx")
