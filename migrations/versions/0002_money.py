"""Money: balances and transfers, prices, budgets, exposure, usage; operators and their audit log."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

HERE = Path(__file__).parent
VIEWS = ("jobs_v2", "balances_v1", "ledger_v1", "exposure_v1", "usage_hourly_v1", "audit_v1")


def _run(path: Path) -> None:
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(HERE / "0002_money.sql")
    for view in VIEWS:
        _run(HERE.parent / "views" / f"{view}.sql")
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA ops TO waystation_readonly, waystation_service")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for view in ("balances", "ledger", "exposure", "usage_hourly", "audit", "jobs"):
        op.execute(f"DROP VIEW ops.{view}")
    op.execute(
        "ALTER TABLE jobs DROP COLUMN held_micro, DROP COLUMN charged_micro, DROP COLUMN price_rule,"
        " DROP COLUMN markup_micro"
    )
    _run(HERE.parent / "views" / "jobs_v1.sql")
    op.execute("GRANT SELECT ON ops.jobs TO waystation_readonly, waystation_service")
    op.execute("DROP TRIGGER tenants_balance ON tenants")
    for table in (
        "audit", "operators", "usage_hours", "exposures", "budget_alerts", "budgets", "allocations", "lots",
        "transfers", "balances",
    ):  # fmt: skip
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION open_balance, check_resolution")
    op.execute("ALTER TABLE tenants DROP COLUMN max_price_micro, DROP COLUMN default_price_micro, DROP COLUMN models")
    op.execute(
        "ALTER TABLE models DROP COLUMN price_micro, DROP COLUMN price_rule, DROP COLUMN markup_micro,"
        " DROP COLUMN cost_micro, DROP COLUMN modality, DROP COLUMN above_hold_count, DROP COLUMN disabled_reason"
    )
