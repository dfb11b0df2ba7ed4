"""Find the schema revision that this code needs, without alembic: its import takes as long as a whole command may take to
start."""

import re
from functools import cache
from pathlib import Path

_ASSIGNED = re.compile(r'^(revision|down_revision) = "(\w+)"$', re.MULTILINE)


def migrations_directory() -> Path:
    """Return the directory of the migrations: beside the package, or inside an installed package."""
    package = Path(__file__).parents[2]
    beside = package.parent / "migrations"
    return beside if beside.is_dir() else package / "migrations"


@cache
def head_revision() -> str:
    """Return the newest revision, which no other follows. Raises ValueError unless there is exactly one."""
    found: dict[str, set[str]] = {"revision": set(), "down_revision": set()}
    for path in migrations_directory().glob("versions/*.py"):
        for name, revision in _ASSIGNED.findall(path.read_text(encoding="utf-8")):
            found[name].add(revision)
    (head,) = found["revision"] - found["down_revision"]
    return head
