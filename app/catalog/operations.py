"""Writes on the catalogue."""

from collections.abc import Sequence

from app.core.db import Session

ABOVE_HOLD_MAX = 2
"""So many jobs of a model may cost more than was held for them; then it is switched off until an operator has looked."""

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


async def count_above_hold(session: Session, *, models: Sequence[str]) -> list[str]:
    """Count jobs that cost more than their hold, one entry of `models` each; gives the models that are switched off for
    it now. One statement."""
    rows = await session.fetch(_COUNT, list(models), ABOVE_HOLD_MAX)
    return [row["slug"] for row in rows if row["switched_off"]]
