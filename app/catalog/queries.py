"""Reads of the catalogue."""

from collections.abc import Sequence

from app.core.db import ReadSession, Row


async def list_models_by_slug(session: ReadSession, *, slugs: Sequence[str]) -> dict[str, Row]:
    """Those of the models that the catalogue knows."""
    sql = "SELECT slug, schema, enabled, retired_at FROM models WHERE slug = ANY($1::text[])"
    return {row["slug"]: row for row in await session.fetch(sql, list(slugs))}
