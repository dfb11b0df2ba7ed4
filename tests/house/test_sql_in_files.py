"""No SQL stands in Python strings: it is in `sql/*.sql`, or written with SQLAlchemy's Core.

`tables.py` is left out: it describes the schema, and SQLAlchemy takes the conditions of CHECKs and indexes as text.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.source import Source, sources

_OBJECT = (
    r"(?:AGGREGATE|DATABASE|DOMAIN|EXTENSION|FUNCTION|INDEX|MATERIALIZED\ VIEW|POLICY|PROCEDURE|ROLE|SCHEMA|SEQUENCE|TABLE|TRIGGER"
    r"|TYPE|USER|VIEW)\b"
)
_TYPE = r"(?:uuid|text|bytea|boolean|smallint|int\d?|integer|bigint|float8|double\ precision|numeric|jsonb?|timestamptz|interval)"
SQL = re.compile(
    rf"""
    \bSELECT\b (?: .*? \bFROM\b | \s+(?:EXISTS|NOT|CASE|\d+)\b | \s+[\w.]+\( )
    | \bINSERT\s+INTO\s
    | \bUPDATE\s+[\w.{{}}]+ (?:\s+(?:AS\s+)?\w+)? \s+SET\b
    | \bDELETE\s+FROM\s
    | \bWITH\s+(?:RECURSIVE\s+)?[\w{{}}]+ (?:\s*\([^)]*\))? \s+AS\s+(?:(?:NOT\s+)?MATERIALIZED\s+)?\(
    | (?:^|;) \s* (?:
        (?:CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+|UNIQUE\s+|TEMP\s+)?{_OBJECT}
        | (?:GRANT|REVOKE)\s.*\b(?:ON|TO|FROM)\s
        | TRUNCATE\s | LOCK\s+TABLE\s | COPY\s+[\w.]+\s+(?:TO|FROM)\b | EXPLAIN\b | ANALYZE\b(?!\w) | VACUUM\b
        | SET\s+(?:LOCAL|SESSION|ROLE|TRANSACTION)\s | SET\s+\w+\s*(?:=|TO)\s | RESET\s+\w+\s*$ | SHOW\s+\w+\s*$
        | (?:BEGIN|COMMIT|ROLLBACK)\s*(?:;|$) | SAVEPOINT\s | NOTIFY\s | LISTEN\s | UNLISTEN\s | DECLARE\s+\w+\s+CURSOR
    )
    | \bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b | \bSKIP\s+LOCKED\b | \bON\s+CONFLICT\b | \b(?:ORDER|GROUP|PARTITION)\s+BY\b
    | \bJOIN\s+(?:LATERAL\b|[\w.{{}}]+) | \bWHERE\s | \bIS\s+(?:NOT\s+)?(?:NULL|DISTINCT\s+FROM)\b | \bCASE\s+WHEN\b
    | \$[1-9]\d?\b
    | [\w)\]] ::{_TYPE}\b
    """,
    re.VERBOSE | re.DOTALL,
)
"""What no text but SQL has: two words of it in their order, a numbered parameter, a cast. In capitals, as all of ours is."""

STAYS = {
    ("app/core/database/db.py", "BEGIN; {}"): "the door itself: what comes with it is a statement of whoever opens it",
    ("app/core/database/db.py", "COMMIT;"): "the door itself",
    ("app/core/database/db.py", "ROLLBACK;"): "the door itself",
    ("app/stack/running/demo.py", "SELECT * FROM ops.job_events"): "shown to the reader, who may type it",
    ("app/stack/running/demo.py", "SELECT * FROM ops.jobs"): "shown to the reader, who may type it",
    (
        "app/core/database/pooler.py",
        "NOTIFY {}",
    ): "takes no parameter; pg_notify would be prepared in a session that is in doubt",
}
"""Each with its reason."""


def texts(tree: ast.Module) -> Iterator[str]:
    """All strings but docstrings; what is put into one is `{}`, and what is added up is one text."""
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        text = _text(node, left)
        if text is not None:
            yield text
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            left += ast.iter_child_nodes(node)


def _text(node: ast.AST, left: list[ast.AST]) -> str | None:
    """The text that it is, if it is one. left: takes what is put into it, where others may stand."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = node.values
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [node.left, node.right]
    else:
        return None
    others: list[ast.AST] = []
    found = [_text(part, others) for part in parts]
    if all(text is None for text in found) and isinstance(node, ast.BinOp):
        return None
    left += [*others, *(part for part, text in zip(parts, found, strict=True) if text is None)]
    return "".join("{}" if text is None else text for text in found)


def _found(source: Source) -> list[tuple[str, str]]:
    """Of each text that is SQL, its file and its beginning."""
    return [(source.path, text.strip().partition("\n")[0][:80]) for text in texts(source.tree) if SQL.search(text)]


def test_no_sql_stands_in_python() -> None:
    found = [one for source in sources("app") if not source.path.endswith("tables.py") for one in _found(source)]
    assert set(STAYS) - set(found) == set(), "an exception that nothing needs any more"
    assert [f"{path}: {text}" for path, text in found if (path, text) not in STAYS] == []


@pytest.mark.parametrize(
    "code",
    [
        'x = "SELECT id FROM jobs"', 'x = """\nSELECT\n    id\nFROM jobs\n"""', 'x = "SELECT now()"', 'x = "SELECT 1"',
        'x = "SELECT " + columns + " FROM jobs"', 'x = f"SELECT {columns} FROM jobs"', 'x = "INSERT INTO jobs (id) VALUES (1)"',
        'x = "UPDATE jobs AS job SET state = 1"', 'x = f"UPDATE {table} SET {sets}"', 'x = "DELETE FROM jobs"',
        'x = "WITH mine AS (TABLE jobs) TABLE mine"', 'x = "id = $1"', 'x = "id::text"', 'x = "deadline_at IS NULL"',
        'x = f"{base} WHERE state"', 'x = "FOR UPDATE SKIP LOCKED"', 'x = "SET LOCAL lock_timeout = 1"', 'x = "LOCK TABLE queues"',
        'x = "CREATE ROLE {} NOLOGIN".format(name)', 'x = "GRANT SELECT ON jobs TO reader"', 'x = "ALTER TABLE jobs ADD x int"',
        'x = "ANALYZE"', 'x = f"NOTIFY {channel}"', 'run(f"{run(\'DELETE FROM jobs\')}")', 'x = "a" + ("b" if y else "SELECT 1")',
    ],
)  # fmt: skip
def test_sql_is_found(code: str) -> None:
    assert _found(Source("x.py", code, ast.parse(code))) != []


@pytest.mark.parametrize(
    "code",
    [
        '"""SELECT id FROM jobs."""', 'def f():\n    """UPDATE jobs SET x."""', 'x = "select one from the list"', 'x = "FROM"',
        'x = "let the owner GRANT reader TO this login"', 'x = "INSERT … RETURNING gives its row"', 'x = "::1"', 'x = "$.input"',
        'x = "# Written anew; ALTER SYSTEM overrides it."', 'x = "set it with waystation pause set"', 'x = a + b',
    ],
)  # fmt: skip
def test_other_words_are_not(code: str) -> None:
    assert _found(Source("x.py", code, ast.parse(code))) == []
