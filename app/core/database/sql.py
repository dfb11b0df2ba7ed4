"""Load SQL from files: one statement a file, with named parameters, and parts that several statements share.

`room/sql/name.sql` is one statement. Its first line is a comment with the question that it answers. A parameter is written
`:name`. `{{ part }}` is replaced by the text of `room/sql/parts/part.sql`, and `{{ part(alias=job) }}` by that text with `job`
for `{alias}`. A room inside a room can use the parts of both. A part may contain parts, but these may not. A part of another
room must be a `Part` that the other room's query module exports, so an import shows it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

Row = TypeVar("Row")

PARTS_DEEP_MAX = 2
"""A statement may contain parts, and these may contain parts."""

_COMMENT = re.compile(r"--[^\n]*")
_PART = re.compile(r"\{\{ (\w+)(?:\(([\w=, ]+)\))? \}\}")
# lower case only, so that neither a cast (`::text`) nor a time format (`HH24:MI`) matches
_PARAMETER = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Part:
    """A text that several statements contain, as in its file. `names`: the folder in which its own parts are found."""

    text: str
    names: "SqlFolder"


@dataclass(frozen=True, slots=True)
class Command:
    """A statement for asyncpg. parameters: the names of $1, $2 and so on."""

    name: str
    path: Path
    text: str
    parameters: tuple[str, ...]

    def arguments(self, given: dict[str, object]) -> Iterable[object]:
        """Return the values in the order of the parameters. Raises TypeError if one is missing or unknown."""
        if len(given) != len(self.parameters) or not given.keys() >= set(self.parameters):
            raise TypeError(
                f"{self.name} takes {', '.join(self.parameters) or 'no parameters'}; got {', '.join(given)}"
            )
        return map(given.__getitem__, self.parameters)


@dataclass(frozen=True, slots=True)
class Query(Command, Generic[Row]):
    """A statement that returns rows. row: makes a row from the columns in their order; for a single value, its type.

    A row has the values as asyncpg gives them. A value of an enum is text, and the module that reads it converts it.
    """

    row: Callable[..., Row]


class SqlFolder:
    """The statements and parts of a room, in `sql` beside the module `file`."""

    loaded: ClassVar[list[Command]] = []
    """The statements of all rooms; tests prepare them."""

    def __init__(self, file: str) -> None:
        self.path = Path(file).parent / "sql"

    def query(self, name: str, row: Callable[..., Row], *, parts: dict[str, Part] | None = None) -> Query[Row]:
        """Load the statement in `name.sql`. parts: the parts of other rooms that it contains, by the names it uses."""
        query = Query(*self._statement(name, parts), row)
        self.loaded.append(query)
        return query

    def command(self, name: str, *, parts: dict[str, Part] | None = None) -> Command:
        """Load a statement whose rows are not read. Otherwise as `query`."""
        command = Command(*self._statement(name, parts))
        self.loaded.append(command)
        return command

    def part(self, name: str) -> Part:
        """Load a part, for statements of other rooms. If this room does not have it, its parent is searched."""
        path, parent = self.path / "parts" / f"{name}.sql", self.path.parent.parent / "sql"
        if not path.exists() and (parent / "parts").exists():
            return SqlFolder(str(self.path.parent)).part(name)
        return Part(_text(path), self)

    def _statement(self, name: str, parts: dict[str, Part] | None) -> tuple[str, Path, str, tuple[str, ...]]:
        path = self.path / f"{name}.sql"
        text = self._expanded(_text(path), parts or {}, deep=0)
        parameters = tuple(dict.fromkeys(_PARAMETER.findall(text)))
        numbered = _PARAMETER.sub(lambda found: f"${parameters.index(found[1]) + 1}", text)
        room = str(self.path.parent).rpartition("/app/")[2]
        return f"{room}/{name}.sql", path, numbered, parameters

    def _expanded(self, text: str, parts: dict[str, Part], *, deep: int) -> str:
        def put_in(found: re.Match[str]) -> str:
            name, arguments = found[1], found[2]
            if deep == PARTS_DEEP_MAX:
                raise ValueError(f"{self.path}: {name} is a part of a part of a part")
            part = parts.get(name) or self.part(name)
            filled = part.text
            for key, value in (one.split("=") for one in (arguments or "").replace(" ", "").split(",") if one):
                filled = filled.replace(f"{{{key}}}", value)
            return part.names._expanded(filled, parts, deep=deep + 1)

        return _PART.sub(put_in, text)


@cache
def _text(path: Path) -> str:
    """Return the text of a file without comments, which would be sent to Postgres with each statement."""
    lines = (_COMMENT.sub("", line).rstrip() for line in path.read_text(encoding="utf-8").splitlines())
    return "\n".join(line for line in lines if line)


def columns_of(row: type[tuple[object, ...]], rows: Sequence[tuple[object, ...]]) -> dict[str, list[object]]:
    """Turn rows of a NamedTuple into lists by column name, for `unnest(:id::uuid[], :fence::bigint[])`."""
    names: tuple[str, ...] = row._fields  # type: ignore[attr-defined]
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {name: [] for name in names}
