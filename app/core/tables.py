"""What the rooms' tables have in common."""

from collections.abc import Iterable

from sqlalchemy import CheckConstraint, Column, DateTime


def one_of(column: str, values: Iterable[object]) -> CheckConstraint:
    """The CHECK of an enum column, `column IN (…)`."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(value)) for value in values)})", name=column)


def instant(name: str, **options: object) -> "Column[object]":
    """A column `…_at`, with its time zone."""
    return Column(name, DateTime(timezone=True), **options)  # type: ignore[arg-type]
