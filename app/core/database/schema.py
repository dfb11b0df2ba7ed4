"""Check whether this process may run on the database's schema.

The database stores its newest migration (`version_num`), and the oldest whose processes it still serves (`serves_from`,
which only contract migrations raise). Ids of migrations are numbers of four digits that only rise.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Protocol

import asyncpg

from app.core.clock import monotonic
from app.core.database.sql import SqlFolder
from app.core.errors import SchemaBehind, WrongConnection, WrongSchema
from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger

log = get_logger(__name__)

PATIENCE_SECONDS = 30.0
"""How long a process waits for `waystation migrate`: both may have started at the same time."""

_ASSIGNED = re.compile(r'^(revision|down_revision) = "(\w+)"$', re.MULTILINE)


def migrations_directory() -> Path:
    """Beside the package, or within it once installed."""
    package = Path(__file__).parents[2]
    beside = package.parent / "migrations"
    return beside if beside.is_dir() else package / "migrations"


@cache
def head_revision() -> str:
    """The newest revision: the one that no other follows. Raises ValueError unless there is exactly one.

    It is read without alembic: that takes as long to import as a whole command may take to start.
    """
    found: dict[str, set[str]] = {"revision": set(), "down_revision": set()}
    for path in migrations_directory().glob("versions/*.py"):
        for name, revision in _ASSIGNED.findall(path.read_text(encoding="utf-8")):
            found[name].add(revision)
    (head,) = found["revision"] - found["down_revision"]
    return head


class Fit(StrEnum):
    """Whether the code and the schema fit."""

    FITS = "fits"
    BEHIND = "behind"
    """The schema is older than the code: `waystation migrate` has not run yet."""
    CONTRACTED = "contracted"
    """The schema is newer, and no longer has what this code needs."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the database says about its schema. None: it has no schema of ours, or an old one."""

    version: str | None = None
    serves_from: str | None = None

    def fit(self, head: str) -> Fit:
        """Return how the schema fits code whose newest migration is `head`."""
        if self.version is None or self.serves_from is None or self.version < head:
            return Fit.BEHIND
        return Fit.FITS if self.serves_from <= head else Fit.CONTRACTED

    def sentence(self, head: str) -> str:
        """Return what is wrong, and what to do."""
        if self.fit(head) is Fit.CONTRACTED:
            return (
                f"the database's schema is at revision {self.version} and supports releases from revision"
                f" {self.serves_from} on; this release has revision {head}: run a newer release"
            )
        at = "has no schema of this release" if self.version is None else f"is at revision {self.version}"
        return f"the database {at}, and this release needs revision {head}: run `waystation migrate` of this release"


FIND_SCHEMA = SqlFolder(__file__).query("find_schema", Found)


class Reads(Protocol):
    """A connection, or a session on one."""

    async def fetchrow(self, sql: str, /) -> asyncpg.Record | None:
        """The first row, or None."""


async def find_schema(session: Reads) -> Found:
    """Read what the database says. One statement."""
    try:
        row = await session.fetchrow(FIND_SCHEMA.text)
    except asyncpg.UndefinedTableError:
        return Found()
    return Found() if row is None else Found(*row)


class SchemaGate:
    """Lets a process use its database only while the schema fits."""

    def __init__(self, told: "ToldWrong | None" = None, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """`told`: called with an error after which the process must stop."""
        self._told = told
        self._patience_seconds = patience_seconds
        self._behind_since: float | None = None
        self._behind = Outage(log, begun="schema.outdated", over="schema.compatible")

    async def check(self, session: Reads) -> None:
        """Do nothing if the schema fits. One statement.

        Raises SchemaBehind for `patience_seconds`, in which `waystation migrate` may still run. Raises WrongSchema after
        that, or if the schema is contracted.
        """
        self.judge(await find_schema(session))

    def judge(self, found: Found) -> None:
        """Like `check`, for what was found."""
        head = head_revision()
        fit = found.fit(head)
        if fit is Fit.FITS:
            self._behind_since = None
            self._behind.passed()
            return
        sentence = found.sentence(head)
        if fit is Fit.BEHIND and self._waits():
            self._behind.met(cause=sentence)
            raise SchemaBehind(sentence)
        error = WrongSchema(sentence)
        if self._told is not None:
            self._told(error)
        raise error

    def _waits(self) -> bool:
        now = monotonic()
        if self._behind_since is None:
            self._behind_since = now
        return now < self._behind_since + self._patience_seconds


class ToldWrong(Protocol):
    """A callback for a wrong connection or schema."""

    def __call__(self, error: WrongConnection, /) -> object:
        """Handle the error."""
