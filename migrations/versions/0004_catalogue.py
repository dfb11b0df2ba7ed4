"""The published models: their run times and mean costs, and a price of 1.5 times the mean to cover the dear tail."""

import csv
from decimal import ROUND_CEILING, Decimal
from importlib import resources

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

MICRO = 1_000_000

SHIP = """
INSERT INTO models (slug, modality, run_seconds, cost_micro, price_micro)
VALUES (:slug, :modality, :run_seconds, :cost_micro, :price_micro)
ON CONFLICT (slug) DO UPDATE SET
    modality = coalesce(models.modality, excluded.modality),
    run_seconds = coalesce(models.run_seconds, excluded.run_seconds),
    cost_micro = coalesce(models.cost_micro, excluded.cost_micro),
    price_micro = coalesce(models.price_micro, excluded.price_micro)
"""


def _published() -> list[dict[str, object]]:
    lines = resources.files("app.catalog").joinpath("published.csv").read_text(encoding="utf-8").splitlines()
    models: list[dict[str, object]] = []
    for line in csv.DictReader(lines):
        cost = Decimal(line["mean_cost_usd"]) * MICRO
        models.append(
            {
                "slug": line["slug"],
                "modality": line["modality"],
                "run_seconds": float(line["mean_run_seconds"]) if line["mean_run_seconds"] else None,
                "cost_micro": int(cost.to_integral_value(ROUND_CEILING)),
                "price_micro": int((cost * 3 / 2).to_integral_value(ROUND_CEILING)),
            }
        )
    return models


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.get_bind().execute(sa.text(SHIP), _published())


def downgrade() -> None:
    # nothing to take away: jobs name these models, and a model that is known harms nobody
    op.execute("SET LOCAL lock_timeout = '5s'")
