"""Writes to the catalogue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.catalog.check import checked_slug
from app.catalog.decide import ModelChanges
from app.catalog.imports import ModelLine
from app.catalog.queries import MODEL_COLUMNS, Model, model_of
from app.core.db import Session, columns

IMPORT_LINES_MAX = 200
"""Models written by one statement of an import. It looks each line up among the others, so its cost grows with their square."""

ABOVE_HOLD_MAX = 2
"""After so many jobs that cost far more than was held for them a model is switched off, until an operator has looked."""

_SET = f"""
INSERT INTO models AS model (slug, price_micro, price_rule, markup_micro, schema, enabled, disabled_reason)
VALUES (
    $1, $3, coalesce($4::text, 'metered'), coalesce($5::bigint, 1000000), $7::jsonb, coalesce($8::boolean, true),
    CASE WHEN NOT $8::boolean THEN 'an operator' END
)
ON CONFLICT (slug) DO UPDATE SET
    price_micro = CASE WHEN $2 THEN $3 ELSE model.price_micro END,
    price_rule = coalesce($4, model.price_rule),
    markup_micro = coalesce($5, model.markup_micro),
    schema = CASE WHEN $6 THEN $7 ELSE model.schema END,
    enabled = coalesce($8, model.enabled),
    disabled_reason = CASE $8 WHEN true THEN NULL WHEN false THEN 'an operator' ELSE model.disabled_reason END,
    above_hold_count = CASE WHEN $8 OR $2 THEN 0 ELSE model.above_hold_count END,
    updated_at = now()
RETURNING {MODEL_COLUMNS}
"""  # noqa: S608

# What an operator has set stays: a price that is not 1.5 times the cost of before, the rule, the mark-up, the switch.
_IMPORT = """
WITH line AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::float8[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[], $9::boolean[]
    ) AS line (slug, title, modality, run_seconds, cost_micro, price_micro, price_rule, markup_micro, enabled)
)
INSERT INTO models AS model (
    slug, title, modality, run_seconds, cost_micro, price_micro, price_rule, markup_micro, enabled
)
SELECT
    slug, coalesce(title, ''), modality, run_seconds, cost_micro, price_micro, coalesce(price_rule, 'metered'),
    coalesce(markup_micro, 1000000), coalesce(enabled, true)
FROM line ORDER BY slug
ON CONFLICT (slug) DO UPDATE SET
    title = coalesce((SELECT line.title FROM line WHERE line.slug = model.slug), model.title),
    modality = coalesce(excluded.modality, model.modality),
    run_seconds = coalesce(excluded.run_seconds, model.run_seconds),
    cost_micro = coalesce(excluded.cost_micro, model.cost_micro),
    price_micro = CASE
        WHEN $10 OR model.price_micro IS NULL OR model.price_micro = (3 * model.cost_micro + 1) / 2
            THEN coalesce(excluded.price_micro, model.price_micro)
        ELSE model.price_micro
    END,
    price_rule = CASE
        WHEN $10 THEN coalesce((SELECT line.price_rule FROM line WHERE line.slug = model.slug), model.price_rule)
        ELSE model.price_rule
    END,
    markup_micro = CASE
        WHEN $10 THEN coalesce((SELECT line.markup_micro FROM line WHERE line.slug = model.slug), model.markup_micro)
        ELSE model.markup_micro
    END,
    enabled = CASE
        WHEN $10 THEN coalesce((SELECT line.enabled FROM line WHERE line.slug = model.slug), model.enabled)
        ELSE model.enabled
    END,
    updated_at = now()
RETURNING slug, xmax = 0 AS new, price_micro IS DISTINCT FROM (
    SELECT coalesce(line.price_micro, model.price_micro) FROM line WHERE line.slug = model.slug
) AS kept
"""


_COUNT = """
INSERT INTO models (slug, above_hold_count)
SELECT slug, count(*) FROM unnest($1::text[]) AS t (slug) GROUP BY slug ORDER BY slug
ON CONFLICT (slug) DO UPDATE SET
    above_hold_count = models.above_hold_count + excluded.above_hold_count,
    enabled = models.enabled AND models.above_hold_count + excluded.above_hold_count < $2,
    disabled_reason = CASE
        WHEN models.enabled AND models.above_hold_count + excluded.above_hold_count >= $2 THEN 'cost_above_hold'
        ELSE models.disabled_reason
    END,
    updated_at = now()
RETURNING slug, NOT enabled AND disabled_reason = 'cost_above_hold' AND above_hold_count >= $2 AS switched_off
"""


@dataclass(frozen=True, slots=True)
class Imported:
    """How many models a file brought: new ones, known ones, and of those how many keep another price than the file's."""

    new: int
    known: int
    kept: int


async def set_model(session: Session, *, slug: str, changes: ModelChanges) -> Model:
    """Write a model into the catalogue, or change what is said of it; raises SlugInvalid. One that is switched on, or has
    a new price, begins anew with its count of costs above the hold."""
    row = await session.fetchrow(
        _SET,
        checked_slug(slug),
        "price_micro" in changes,
        changes.get("price_micro"),
        changes.get("price_rule"),
        changes.get("markup_micro"),
        "schema" in changes,
        changes.get("schema"),
        changes.get("enabled"),
    )
    assert row is not None, "an upsert gives its row"
    return model_of(row)


async def import_models(
    session: Session,
    *,
    lines: Sequence[ModelLine],
    overwrite: bool,
    on_progress: Callable[[int], None] = lambda _count: None,
) -> Imported:
    """Write these models, each slug once, into the catalogue; `overwrite` also what an operator has set.

    `on_progress` is told after each statement how many models it wrote.
    """
    new = known = kept = 0
    for start in range(0, len(lines), IMPORT_LINES_MAX):
        rows = await session.fetch(_IMPORT, *_import_columns(lines[start : start + IMPORT_LINES_MAX]), overwrite)
        added = sum(row["new"] for row in rows)
        new, known, kept = new + added, known + len(rows) - added, kept + sum(row["kept"] for row in rows)
        on_progress(len(rows))
    return Imported(new=new, known=known, kept=kept)


def _import_columns(lines: Sequence[ModelLine]) -> list[list[object]]:
    """As `_IMPORT` asks for them."""
    rows = [
        (
            line.slug, line.title, line.modality, line.run_seconds, line.cost_micro, line.price_micro,
            line.price_rule, line.markup_micro, line.enabled,
        )
        for line in lines
    ]  # fmt: skip
    return columns(rows, 9)


async def count_above_hold(session: Session, *, models: Sequence[str]) -> list[str]:
    """Count jobs that cost far more than their hold, one entry of `models` each; gives the models that are switched off for
    it now. One statement."""
    rows = await session.fetch(_COUNT, list(models), ABOVE_HOLD_MAX)
    return [row["slug"] for row in rows if row["switched_off"]]
