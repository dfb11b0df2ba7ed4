"""SQL in files: parameters by name, parts, and what is wrong with either."""

from pathlib import Path
from typing import NamedTuple

import pytest

from app.core.database.sql import SqlFolder, columns_of


class Pair(NamedTuple):
    """A row."""

    id: int
    name: str


def folder(path: Path, **files: str) -> SqlFolder:
    """A room with these files; `parts__name` is a part."""
    for name, text in files.items():
        file = path / "sql" / f"{name.replace('__', '/')}.sql"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return SqlFolder(str(path / "queries.py"))


def test_parameters_are_numbered_by_their_first_use(tmp_path: Path) -> None:
    sql = folder(tmp_path, find="SELECT :b::text, :a, to_char(now(), 'HH24:MI'), :b, ('{1:2}'::int[])[1:2]")
    query = sql.query("find", Pair)
    assert query.text == "SELECT $1::text, $2, to_char(now(), 'HH24:MI'), $1, ('{1:2}'::int[])[1:2]"
    assert list(query.arguments({"a": 1, "b": 2})) == [2, 1]


@pytest.mark.parametrize("given", [{}, {"a": 1, "b": 2}, {"b": 1}])
def test_a_name_too_few_or_too_many_is_told(tmp_path: Path, given: dict[str, object]) -> None:
    command = folder(tmp_path, do="SELECT :a").command("do")
    with pytest.raises(TypeError, match="takes a; got"):
        command.arguments(given)


def test_comments_are_not_sent(tmp_path: Path) -> None:
    command = folder(tmp_path, do="-- Which?\nSELECT 1 -- the first\n    -- and\n    + :n").command("do")
    assert command.text == "SELECT 1\n    + $1"


def test_a_part_is_put_in_with_its_arguments(tmp_path: Path) -> None:
    sql = folder(
        tmp_path,
        find="SELECT {{ alive(job=held, by=x) }} AND {{ paused }}",
        parts__alive="{job}.owner = {by}.id",
        parts__paused="NOT {{ inner }}",
        parts__inner=":what",
    )
    assert sql.query("find", bool).text == "SELECT held.owner = x.id AND NOT $1"


def test_a_part_of_another_room_is_handed_in(tmp_path: Path) -> None:
    theirs = folder(tmp_path / "theirs", parts__may="NOT {{ inner }}", parts__inner="paused")
    mine = folder(tmp_path / "mine", find="SELECT {{ may_submit }}")
    assert mine.query("find", bool, parts={"may_submit": theirs.part("may")}).text == "SELECT NOT paused"


def test_parts_are_two_deep_at_most(tmp_path: Path) -> None:
    sql = folder(tmp_path, find="SELECT {{ a }}", parts__a="{{ b }}", parts__b="{{ c }}", parts__c="1")
    with pytest.raises(ValueError, match="c is a part of a part of a part"):
        sql.query("find", int)


def test_rows_become_columns() -> None:
    assert columns_of(Pair, [Pair(1, "a"), Pair(2, "b")]) == {"id": [1, 2], "name": ["a", "b"]}
    assert columns_of(Pair, []) == {"id": [], "name": []}
