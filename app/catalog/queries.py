"""Reads the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.catalog.models import PriceRule
from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.core.errors import NotFound


class ModelNotFound(NotFound):
    """404: the caller sees no such model."""

    code = "model_not_found"

    def __init__(self) -> None:
        super().__init__("no such model in the catalogue")


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

    def __post_init__(self) -> None:
        """Convert the text from Postgres."""
        object.__setattr__(self, "price_rule", PriceRule(self.price_rule))


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models to list. None: no restriction. `offered`: neither switched off nor retired; `priced`: with a price."""

    slugs: Sequence[str] | None = None
    offered: bool = False
    priced: bool = False


EVERY_MODEL = ModelFilter()


_SQL = SqlFolder(__file__)
_FIND = _SQL.query("find_models", Model)
_SLUGS = _SQL.query("list_slugs", str)
_LIST = _SQL.query("list_models", Model)


async def list_models_by_slug(session: ReadSession, *, slugs: Sequence[str]) -> dict[str, Model]:
    """Return the models that the catalogue has, by slug."""
    return {model.slug: model for model in await session.rows(_FIND, slugs=slugs)}


async def list_slugs(session: ReadSession) -> list[str]:
    """Return the slugs of all models, also of those that are switched off or retired."""
    return await session.values(_SLUGS)


async def list_models(
    session: ReadSession, *, wanted: ModelFilter = EVERY_MODEL, after: str | None = None, limit: int | None = None
) -> list[Model]:
    """Return models in the order of their slugs, those after the slug `after`."""
    return await session.rows(
        _LIST, slugs=wanted.slugs, after=after, offered=wanted.offered, priced=wanted.priced, limit=limit
    )
