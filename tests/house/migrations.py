"""What each migration says to Postgres, and squawk's word on whether the release before can go on working meanwhile."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database.migrate import alembic_config
from tests.house.source import ROOT

LOCKS = frozenset({
    "adding-field-with-default", "adding-foreign-key-constraint", "adding-not-nullable-field", "adding-serial-primary-key-field",
    "changing-column-type", "constraint-missing-not-valid",
    "disallowed-unique-constraint", "require-concurrent-index-creation", "require-concurrent-index-deletion",
    "require-concurrent-reindex",
})  # fmt: skip
"""squawk's rules on what locks a table for as long as it takes to read or write all of it."""

BREAKS = frozenset({
    "adding-required-field", "ban-drop-column", "ban-drop-not-null", "ban-drop-table", "ban-truncate-cascade", "renaming-column",
    "renaming-table",
})  # fmt: skip
"""On what the release before cannot live with. A contract migration may do it: one that raises `serves_from`."""

_TABLE = r"(?:ONLY\s+)?(?:public\.)?(?P<table>\w+)"
_CHANGES = r"(?:TABLE|VIEW|TYPE|INDEX|SEQUENCE|FUNCTION)\b.*\b"
BY_HAND = {
    "lock-by-hand": r"LOCK\b|CLUSTER\b|VACUUM\s+FULL\b|REFRESH\b(?!.*\bCONCURRENTLY\b)",
    "trigger-on-existing-table": rf"CREATE\s+(?:OR\s+REPLACE\s+)?(?:CONSTRAINT\s+)?TRIGGER\b.*?\bON\s+{_TABLE}",
    "table-rewritten": rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?{_TABLE}\b.*\b(?:SET\s+(?:UNLOGGED|LOGGED|TABLESPACE|ACCESS\s+METHOD)"
    r"|ADD\s+COLUMN\b[^,]*\b(?:(?:SMALL|BIG)?SERIAL|AS\s+IDENTITY|CHECK))\b",
    "rows-changed-at-once": rf"(?:UPDATE|DELETE\s+FROM)\s+{_TABLE}",
}
"""What squawk has no rule for, and locks a table or its rows for long; on a table that the migration itself makes it may."""

TAKES_AWAY = re.compile(
    rf"\s*(?:DROP\s+(?!INDEX\b)|TRUNCATE\b|REVOKE\b|ALTER\s+{_CHANGES}(?:DROP\s+DEFAULT|SET\s+SCHEMA|RENAME\s+(?:COLUMN|VALUE)"
    r"|ENABLE\s+ROW\s+LEVEL|DISABLE\s+TRIGGER)\b)",
    re.IGNORECASE | re.DOTALL,
)
"""`taken-away`: what the release before may use, and squawk has no rule for. A contract migration may do it."""

Said = list[tuple[str, bool]]
"""Statements, and whether each is in a transaction."""


async def said_by_revision(engine: AsyncEngine) -> dict[str, Said]:
    """What every migration says, in order; run on an empty database."""
    said: dict[str, Said] = defaultdict(list)

    def step(connection: Connection, revision: str) -> None:
        def hear(conn: Connection, _cursor: Any, statement: str, *_: Any) -> None:
            alone = conn.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
            said[revision].append((statement, not alone))

        event.listen(connection, "before_cursor_execute", hear)
        command.upgrade(alembic_config(connection), revision)

    async with engine.connect() as connection:
        config = await connection.run_sync(alembic_config)
        await connection.rollback()
        scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    for script in reversed(scripts):
        async with engine.connect() as connection:
            await connection.run_sync(step, script.revision)
    return said


def faults(said: Said) -> set[str]:
    """The rules that these statements break. No comment silences them."""
    statements = [_without_comments(statement) for statement, _ in said]
    contracts = any(re.search(r"UPDATE\s+alembic_version\s+SET\s+serves_from", one) for one in statements)
    watched = LOCKS if contracts else LOCKS | BREAKS
    found = set(_by_hand(statements))
    if not contracts and any(map(TAKES_AWAY.match, statements)):
        found.add("taken-away")
    for together in (True, False):
        part = [one for one, (_, inside) in zip(statements, said, strict=True) if inside is together]
        found |= _squawked(part, in_transaction=together) & watched
    return found


def _without_comments(statement: str) -> str:
    return re.sub(r"^\s*--.*$", "", statement, flags=re.MULTILINE).strip().rstrip(";")


def _by_hand(statements: Iterable[str]) -> Iterable[str]:
    made: set[str] = set()
    for one in statements:
        if table := re.match(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", one, re.IGNORECASE):
            made.add(table[1])
        for rule, pattern in BY_HAND.items():
            broken = re.match(rf"\s*(?:{pattern})", one, re.IGNORECASE | re.DOTALL)
            if broken and broken.groupdict().get("table") not in made | {"alembic_version"}:
                yield rule


def _squawked(statements: list[str], *, in_transaction: bool) -> set[str]:
    options = ["--assume-in-transaction"] if in_transaction else ["--no-assume-in-transaction"]
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("squawk")), "--reporter", "json", "--pg-version", "16", *options],
        input=";\n\n".join(statements) + ";\n",
        cwd=ROOT / "tests",  # without the configuration of `poe sql`
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in (0, 1), ran.stderr
    rules = {str(one["rule_name"]) for one in json.loads(ran.stdout or "[]")}
    assert "syntax-error" not in rules, (ran.stdout, statements)
    return rules
