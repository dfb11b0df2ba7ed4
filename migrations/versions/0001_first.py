"""The engine's tables, the roles, and the views for dashboards."""

import json
from importlib import resources
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

HERE = Path(__file__).parent
VIEWS = ("requests", "jobs", "job_events", "attempts", "upstream_exchanges", "queue_now", "upstream_now", "pauses")


def _statements(path: Path) -> list[str]:
    return [part for part in path.read_text(encoding="utf-8").split("\n\n") if part.strip()]


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for statement in _statements(HERE / "0001_first.sql"):
        op.execute(sa.text(statement.replace(":", r"\:")))
    for view in VIEWS:
        for statement in _statements(HERE.parent / "views" / f"{view}_v1.sql"):
            op.execute(sa.text(statement.replace(":", r"\:")))
    for grant in (
        "GRANT USAGE ON SCHEMA ops TO waystation_readonly",
        "GRANT SELECT ON ALL TABLES IN SCHEMA ops TO waystation_readonly",
    ):
        op.execute(grant)
    op.execute("GRANT USAGE ON SCHEMA ops TO waystation_service")
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA ops TO waystation_service")
    _ship_models()


def _ship_models() -> None:
    """The catalogue as shipped; what an operator has set since is kept."""
    shipped = json.loads(resources.files("app.catalog").joinpath("shipped.json").read_text(encoding="utf-8"))
    op.get_bind().execute(
        sa.text(
            "INSERT INTO models (slug, title, schema, run_seconds)"
            " VALUES (:slug, :title, CAST(:schema AS jsonb), :run_seconds) ON CONFLICT (slug) DO NOTHING"
        ),
        [{**model, "schema": json.dumps(model["schema"])} for model in shipped],
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP SCHEMA ops CASCADE")
    for table in (
        "refusals", "upstream_observations", "upstream_exchanges", "job_events", "attempts", "job_results", "job_inputs",
        "jobs", "processes", "pauses", "upstream_state", "models", "api_keys", "tenants",
    ):  # fmt: skip
        op.execute(f"DROP TABLE {table}")
