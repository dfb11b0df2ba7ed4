"""Reads of the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.catalog.models import PriceRule
from app.core.db import ReadSession, Row
from app.core.errors import NotFound

MODEL_COLUMNS = (
    "slug, title, modality, schema, price_micro, price_rule, markup_micro, cost_micro, run_seconds, enabled,"
    " disabled_reason, retired_at, updated_at"
)


class ModelNotFound(NotFound):
    """404: there is no such model for whoever asks."""

    code = "model_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such model in the catalogue")


@dataclass(frozen=True, slots=True)
class Model:
    """A row of `models`."""

    slug: str
    title: str
    modality: str | None
    schema: dict[str, Any] | None
    price_micro: int | None
    price_rule: PriceRule
    markup_micro: int
    cost_micro: int | None
    run_seconds: float | None
    enabled: bool
    disabled_reason: str | None
    retired_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models are wanted; None is no bound. `offered`: neither switched off nor retired; `priced`: with a price."""

    slugs: Sequence[str] | None = None
    offered: bool = False
    priced: bool = False


EVERY_MODEL = ModelFilter()


def model_of(row: Row) -> Model:
    """The model in a row of MODEL_COLUMNS."""
    return Model(**{**row, "price_rule": PriceRule(row["price_rule"])})


async def list_models_by_slug(session: ReadSession, *, slugs: Sequence[str]) -> dict[str, Row]:
    """Those of the models that the catalogue knows."""
    sql = f"SELECT {MODEL_COLUMNS} FROM models WHERE slug = ANY($1::text[])"  # noqa: S608
    return {row["slug"]: row for row in await session.fetch(sql, list(slugs))}


async def list_slugs(session: ReadSession) -> list[str]:
    """The slugs of all models of the catalogue, those that are switched off or retired too."""
    return [row["slug"] for row in await session.fetch("SELECT slug FROM models")]


async def list_models(
    session: ReadSession, *, wanted: ModelFilter = EVERY_MODEL, after: str | None = None, limit: int | None = None
) -> list[Model]:
    """Models in the order of their slugs, those after the slug `after`."""
    rows = await session.fetch(
        f"""
        SELECT {MODEL_COLUMNS} FROM models
        WHERE ($1::text[] IS NULL OR slug = ANY($1)) AND ($2::text IS NULL OR slug > $2)
            AND (NOT $3 OR (enabled AND retired_at IS NULL)) AND (NOT $4 OR price_micro IS NOT NULL)
        ORDER BY slug LIMIT $5
        """,  # noqa: S608
        None if wanted.slugs is None else list(wanted.slugs),
        after,
        wanted.offered,
        wanted.priced,
        limit,
    )
    return [model_of(row) for row in rows]
