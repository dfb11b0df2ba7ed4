"""SQL stands in files; each is prepared on the migrated schema, and its columns are held against the type of its rows."""

import inspect
import pkgutil
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from enum import StrEnum
from importlib import import_module
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import asyncpg
import pytest

import app
from app.core.database.sql import Command, Query, SqlFolder
from tests.house.source import ROOT

STATEMENT_LINES_MAX = 60

_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,), "varchar": (str,), "name": (str,), "bool": (bool,), "bytea": (bytes,), "uuid": (UUID,),
    "int2": (int,), "int4": (int,), "int8": (int,), "float4": (float,), "float8": (float,), "date": (date,),
    "timestamptz": (datetime,), "interval": (timedelta,), "jsonb": (dict, list), "json": (dict, list),
    "inet": (IPv4Network, IPv6Network), "void": (type(None),), "record": (tuple,),
}  # fmt: skip
"""What asyncpg makes of a column of each type. Others are not judged."""


def statements() -> list[Command]:
    """Those of the product: all that its modules load."""
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    return [statement for statement in SqlFolder.loaded if (ROOT / "app" / _file(statement)).is_file()]


def _file(statement: Command) -> Path:
    return statement.path.relative_to(ROOT / "app") if statement.path.is_relative_to(ROOT / "app") else Path("none")


def _expected(row: Callable[..., Any]) -> list[tuple[str | None, Any]]:
    """The names and types of the columns that make such a row; of a single value its type alone."""
    if row in (int, str, float, bool, bytes, UUID, datetime, date, dict, list) or get_origin(row) is not None:
        return [(None, row)]
    parameters = inspect.signature(row).parameters
    hints = get_type_hints(row.__init__ if isinstance(row, type) and not hasattr(row, "_fields") else row)
    return [(name, hints.get(name)) for name in parameters]


def _fits(kind: str, hint: Any, *, converts: bool) -> bool:
    """Whether a column of this type may be such a field. converts: the row makes an enum of a text."""
    if hint is None or hint is Any or hint is object:
        return True
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(kind, one, converts=converts) for one in get_args(hint) if one is not type(None))
    if kind.endswith("[]"):
        return get_origin(hint) in (list, tuple) or hint is list or "Sequence" in str(hint)
    expected = _TYPES.get(kind)
    base = get_origin(hint) or hint
    if converts and isinstance(base, type) and issubclass(base, StrEnum):
        base = str
    return expected is None or base in expected


async def _wrong(connection: "asyncpg.Connection[Any]", statement: Command) -> list[str]:
    prepared = await connection.prepare(statement.text)
    wrong = []
    if len(prepared.get_parameters()) != len(statement.parameters):
        wrong.append(f"{statement.name}: {len(prepared.get_parameters())} parameters")
    if not isinstance(statement, Query):
        return wrong
    found = [(one.name, one.type.name) for one in prepared.get_attributes()]
    expected = _expected(statement.row)
    if len(found) != len(expected):
        return [
            *wrong,
            f"{statement.name}: gives {[name for name, _ in found]}, expected {[name for name, _ in expected]}",
        ]
    for (name, kind), (field, hint) in zip(found, expected, strict=True):
        if field is not None and name != field:
            wrong.append(f"{statement.name}: gives {name} where its row has {field}")
        elif not _fits(kind, hint, converts=hasattr(statement.row, "__post_init__")):
            wrong.append(f"{statement.name}: {name} is {kind}, its row has {hint}")
    return wrong


async def test_every_statement_is_prepared_and_gives_the_columns_of_its_row(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        found = statements()
        assert len(found) > 2
        assert [wrong for statement in found for wrong in await _wrong(connection, statement)] == []
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("sql", "row", "wrong"),
    [
        ("SELECT 1", int, 0), ("SELECT 'a'", int, 1), ("SELECT 1 AS a, 2", int, 1), ("SELECT ARRAY[1]", list[int], 0),
        ("SELECT now()", str, 1), ("SELECT :n::int, :n::int + 1", int, 1),
    ],
)  # fmt: skip
async def test_a_wrong_row_is_found(database_url: str, sql: str, row: Callable[..., Any], wrong: int) -> None:
    text = sql.replace(":n", "$1")
    connection = await asyncpg.connect(database_url)
    try:
        assert len(await _wrong(connection, Query("x.sql", Path("x.sql"), text, ("n",) * (":n" in sql), row))) == wrong
    finally:
        await connection.close()


def test_every_file_of_sql_is_used() -> None:
    files = set((ROOT / "app").rglob("sql/*.sql"))
    assert files - {statement.path for statement in statements()} == set()


def test_every_file_of_sql_begins_with_its_question() -> None:
    """Of a part: what it stands for."""
    first = {path: path.read_text(encoding="utf-8").splitlines()[0] for path in (ROOT / "app").rglob("sql/**/*.sql")}
    assert [
        str(path)
        for path, line in first.items()
        if not re.match(r"-- \S", line) or (path.parent.name == "sql" and "?" not in line)
    ] == []


def test_no_statement_is_long() -> None:
    """With all parts, as it is sent."""
    assert {
        statement.name: lines
        for statement in statements()
        if (lines := len(statement.text.splitlines())) > STATEMENT_LINES_MAX
    } == {}
