"""Writes to the catalogue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.catalog.check import checked_slug
from app.catalog.decide import ModelChanges
from app.catalog.imports import ModelLine
from app.catalog.queries import Model
from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of

IMPORT_LINES_MAX = 200
"""Models written by one statement of an import. It looks each line up among the others, so its cost grows with their square."""

ABOVE_HOLD_MAX = 2
"""After so many jobs that cost far more than was held for them a model is switched off, until an operator has looked."""

_SQL = SqlFolder(__file__)


class _ImportedRow(NamedTuple):
    """As `import_models.sql` gives a model. kept: it keeps another price than the file's."""

    slug: str
    new: bool
    kept: bool


class _CountedRow(NamedTuple):
    """As `count_above_hold.sql` gives a model."""

    slug: str
    switched_off: bool


_SET = _SQL.query("set_model", Model)
_IMPORT = _SQL.query("import_models", _ImportedRow)
_COUNT = _SQL.query("count_above_hold", _CountedRow)


@dataclass(frozen=True, slots=True)
class Imported:
    """How many models a file brought: new ones, known ones, and of those how many keep another price than the file's."""

    new: int
    known: int
    kept: int


async def set_model(session: Session, *, slug: str, changes: ModelChanges) -> Model:
    """Write a model into the catalogue, or change what is said of it; raises SlugInvalid. One that is switched on, or has
    a new price, begins anew with its count of costs above the hold."""
    return await session.get_row(
        _SET,
        slug=checked_slug(slug),
        sets_price="price_micro" in changes,
        price_micro=changes.get("price_micro"),
        price_rule=changes.get("price_rule"),
        markup_micro=changes.get("markup_micro"),
        sets_schema="schema" in changes,
        schema=changes.get("schema"),
        enabled=changes.get("enabled"),
    )


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
        columns = columns_of(ModelLine, lines[start : start + IMPORT_LINES_MAX])
        rows = await session.rows(_IMPORT, **columns, overwrite=overwrite)
        added = sum(row.new for row in rows)
        new, known, kept = new + added, known + len(rows) - added, kept + sum(row.kept for row in rows)
        on_progress(len(rows))
    return Imported(new=new, known=known, kept=kept)


async def count_above_hold(session: Session, *, models: Sequence[str]) -> list[str]:
    """Count jobs that cost far more than their hold, one entry of `models` each; gives the models that are switched off for
    it now. One statement."""
    rows = await session.rows(_COUNT, slugs=models, jobs_max=ABOVE_HOLD_MAX)
    return [row.slug for row in rows if row.switched_off]
