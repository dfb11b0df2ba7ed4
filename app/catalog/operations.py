"""Writes the catalogue."""

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
"""Models in one statement of an import. It compares each line with all others, so its time grows with their square."""

ABOVE_HOLD_MAX = 2
"""After this many jobs that cost far more than their hold, a model is switched off until an operator has checked it."""

_SQL = SqlFolder(__file__)


class _ImportedRow(NamedTuple):
    """A row of `import_models.sql`. kept: the model keeps another price than the file's."""

    slug: str
    new: bool
    kept: bool


class _CountedRow(NamedTuple):
    """A row of `count_above_hold.sql`."""

    slug: str
    switched_off: bool


_SET = _SQL.query("set_model", Model)
_IMPORT = _SQL.query("import_models", _ImportedRow)
_COUNT = _SQL.query("count_above_hold", _CountedRow)


@dataclass(frozen=True, slots=True)
class Imported:
    """How many models a file had: new ones, known ones, and known ones that keep another price than the file's."""

    new: int
    known: int
    kept: int


async def set_model(session: Session, *, slug: str, changes: ModelChanges) -> Model:
    """Write a model into the catalogue, or change it. Raises SlugInvalid.

    If it is switched on or gets a price, its count of costs above the hold starts again.
    """
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
    """Write these models, each slug once. `overwrite`: also replace what an operator has set.

    on_progress: called after each statement with the number of models that it wrote.
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
    """Count jobs that cost far more than their hold, one entry of `models` each. One statement.

    Returns the models that are switched off because of it.
    """
    rows = await session.rows(_COUNT, slugs=models, jobs_max=ABOVE_HOLD_MAX)
    return [row.slug for row in rows if row.switched_off]
