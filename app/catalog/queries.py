"""Reads of the catalogue."""

from collections.abc import Sequence

from app.core.db import ReadSession, Row

MODEL_COLUMNS = (
    "slug, title, modality, schema, price_micro, price_rule, markup_micro, cost_micro, run_seconds, enabled,"
    " disabled_reason, retired_at, updated_at"
)


async def list_models_by_slug(session: ReadSession, *, slugs: Sequence[str]) -> dict[str, Row]:
    """Those of the models that the catalogue knows."""
    sql = f"SELECT {MODEL_COLUMNS} FROM models WHERE slug = ANY($1::text[])"  # noqa: S608
    return {row["slug"]: row for row in await session.fetch(sql, list(slugs))}
