"""Write dumps of the database with pg_dump, and find them. `restoring` restores them."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from app.core.clock import now
from app.core.database.connections import connect_owner, is_encrypted
from app.core.database.database_url import connect_arguments
from app.core.database.schema import find_schema
from app.stack.errors import StackError
from app.stack.files import make_directory
from app.stack.servers.binaries import find_pg_dump
from app.stack.servers.client_programs import run_program

PARTIAL = ".partial"
PARTIAL_HOURS = 24
"""A partial dump without a write for so many hours was left behind by a killed process."""
_CONTENTS = "toc.dat"
_SAYS_PLAIN = b"PostgreSQL database dump"
_SAYS_WHOLE = b"PostgreSQL database dump complete"
_SAYS_CLUSTER = b"PostgreSQL database cluster dump"
_TAR, _TAR_AT = b"ustar", 257
_LOOK_BYTES = 4096


class Form(StrEnum):
    """The format of a dump."""

    CUSTOM = "custom"
    DIRECTORY = "directory"
    TAR = "tar"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Dump:
    """One dump. `bytes` is the size of all its files."""

    path: Path
    form: Form
    bytes: int
    written_at: datetime


def find_dump(path: Path) -> Dump:
    """Return the dump at `path`, or the last written one in the directory `path`.

    Raises StackError if there is none, or if the newest file is not a dump: a failed backup must not be hidden by the one
    before it.
    """
    path = path.absolute()  # a program would read a name that begins with a dash as an option
    try:
        last = max(_candidates(path), key=lambda one: (one.stat().st_mtime_ns, one.name), default=None)
        if last is None:
            raise StackError(f"no dump in {path}: `waystation backup create` writes one, or give another path")
        return _look_at(last)
    except FileNotFoundError as error:
        raise StackError(f"no dump: {error.filename} does not exist; `waystation backup create` writes one") from None
    except OSError as error:
        raise StackError(f"{error.filename or path} cannot be read: {error.strerror or error}") from None


def _candidates(path: Path) -> Iterator[Path]:
    if not path.is_dir() or _is_dump(path):
        yield path
        return
    for one in path.iterdir():
        hidden = one.name.startswith(".") or one.name.endswith(PARTIAL)
        if not hidden and (one.is_file() or _is_dump(one)):
            yield one


def _is_dump(directory: Path) -> bool:
    """Return whether pg_dump writes, or has written, a dump in directory format there. It writes the contents last."""
    return (directory / _CONTENTS).exists() or any(directory.glob("[0-9]*.dat*"))


def _look_at(path: Path) -> Dump:
    if path.is_dir():
        if not (path / _CONTENTS).exists():
            raise StackError(f"{path} is incomplete: {_CONTENTS}, which pg_dump writes last, is missing")
        files = [one.stat() for one in path.iterdir()]
        written_at = max(file.st_mtime for file in files)
        return Dump(path, Form.DIRECTORY, sum(file.st_size for file in files), datetime.fromtimestamp(written_at, UTC))
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise StackError(f"{path} is not a dump: expected a file or directory of pg_dump")
    return Dump(path, _form(path), found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _form(path: Path) -> Form:
    with path.open("rb") as file:
        head = file.read(_LOOK_BYTES)
        file.seek(max(0, os.fstat(file.fileno()).st_size - _LOOK_BYTES))
        tail = file.read()
    if head.startswith(b"PGDMP"):
        return Form.CUSTOM
    if _SAYS_CLUSTER in head:
        raise StackError(f"{path} is a dump of a whole cluster: expected one of the database alone, from pg_dump")
    if _SAYS_PLAIN in head:
        if _SAYS_WHOLE not in tail:  # psql would take what there is for all of it
            raise StackError(f"{path} is incomplete: its last lines do not say that the dump is complete")
        return Form.PLAIN
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return Form.TAR
    raise StackError(f"{path} is not a dump: expected a complete, unpacked file or directory of pg_dump")


async def create_dump(database_url: str, directory: Path) -> Dump:
    """Write a new dump in custom format into `directory`. It appears complete or not at all.

    Raises StackError if it cannot be written, or if the database has none of our tables; and the errors of `connect_owner`.
    """
    path = _new_path(directory)
    partial = path.with_name(path.name + PARTIAL)
    major, tls = await _look_at_server(database_url)
    try:
        make_directory(path.parent)
        _remove_leftovers(path.parent)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise _not_written(path, error) from None
    try:
        try:
            await run_program(find_pg_dump(major, tls=tls), "--format=custom", url=database_url, output=descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.replace(path)
    except OSError as error:
        raise _not_written(path, error) from None
    finally:
        partial.unlink(missing_ok=True)
    return _look_at(path)


def _new_path(directory: Path) -> Path:
    return directory.absolute() / f"waystation-{now():%Y%m%dT%H%M%S%fZ}.dump"


def _not_written(path: Path, error: OSError) -> StackError:
    return StackError(f"{path} cannot be written: {error.strerror or error}")


async def _look_at_server(database_url: str) -> tuple[int, bool]:
    """Return the server's major version, and whether the connection uses TLS, as the URL requires or allows.

    A pooler that gives each transaction another session is refused: pg_dump would leave its settings in all of them. So is an
    empty database, which pg_dump would dump without an error.
    """
    connection = await connect_owner(connect_arguments(database_url))
    try:
        if (await find_schema(connection)).version is None:
            raise StackError(
                "the database has no Waystation tables that this login may see: expected a database that `waystation migrate` has prepared"
            )
        return connection.get_server_version().major, is_encrypted(connection)
    finally:
        await connection.close()


def _remove_leftovers(directory: Path) -> None:
    before = now() - timedelta(hours=PARTIAL_HOURS)
    for path in directory.glob(f"waystation-*.dump{PARTIAL}"):
        if datetime.fromtimestamp(path.stat().st_mtime, UTC) < before:
            path.unlink(missing_ok=True)
