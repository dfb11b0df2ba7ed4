"""Dumps of the database: written by pg_dump, found, and restored into a server that is empty.

Read are all forms of pg_dump: custom, directory and tar by pg_restore, plain SQL by psql.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import asyncpg

from app.core.clock import now
from app.core.database_url import for_programs, variables_for_programs
from app.stack.binaries import PostgresPrograms
from app.stack.errors import StackError
from app.stack.files import make_directory

PARTIAL = ".partial"
_CONTENTS = "toc.dat"
_SAYS_PLAIN = b"PostgreSQL database dump"
_SAYS_WHOLE = b"PostgreSQL database dump complete"
_SAYS_CLUSTER = b"PostgreSQL database cluster dump"
_TAR, _TAR_AT = b"ustar", 257
_LOOK_BYTES = 4096
_RESTORE_JOBS = 2


class Form(StrEnum):
    """How pg_dump wrote it."""

    CUSTOM = "custom"
    DIRECTORY = "directory"
    TAR = "tar"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Dump:
    """One dump; `bytes` of all its files."""

    path: Path
    form: Form
    bytes: int
    written_at: datetime


def find_dump(path: Path) -> Dump:
    """The dump at `path`, or the one written last in the directory `path`.

    Raises StackError where there is none, or what is there is no dump. The newest is taken whatever it is: a backup that
    failed must not hide behind the one before it.
    """
    try:
        last = max(_candidates(path), key=lambda one: one.stat().st_mtime, default=None)
        if last is None:
            raise StackError(f"no dump in {path}: `waystation backup create` writes one, or name another place")
        return _look_at(last)
    except FileNotFoundError as error:
        raise StackError(f"no dump: there is no {error.filename}; `waystation backup create` writes one") from None
    except OSError as error:
        raise StackError(f"{error.filename or path} cannot be read: {error.strerror or error}") from None


def _candidates(path: Path) -> Iterator[Path]:
    if not path.is_dir() or (path / _CONTENTS).exists():
        yield path
        return
    for one in path.iterdir():
        hidden = one.name.startswith(".") or one.name.endswith(PARTIAL)
        if not hidden and (one.is_file() or (one / _CONTENTS).exists()):
            yield one


def _look_at(path: Path) -> Dump:
    if path.is_dir():
        files = [one.stat() for one in path.iterdir()]
        written_at = max(one.st_mtime for one in files)
        return Dump(path, Form.DIRECTORY, sum(one.st_size for one in files), datetime.fromtimestamp(written_at, UTC))
    found = path.stat()
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
            raise StackError(f"{path} is cut off: its last lines do not say that the dump is complete")
        return Form.PLAIN
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return Form.TAR
    raise StackError(f"{path} is no dump: expected a file or directory of pg_dump, unpacked and whole")


async def create_dump(programs: PostgresPrograms, database_url: str, directory: Path) -> Dump:
    """Write a new dump, in custom form, into `directory`; it appears whole or not at all. Raises StackError."""
    make_directory(directory)
    path = directory / f"waystation-{now():%Y%m%dT%H%M%S%fZ}.dump"
    partial = path.with_name(path.name + PARTIAL)
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            await _run(programs.bin / "pg_dump", "--format=custom", url=database_url, output=descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.replace(path)
    except OSError as error:
        raise StackError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return _look_at(path)


async def restore(dump: Dump, programs: PostgresPrograms, database_url: str) -> None:
    """Bring the dump into an empty database, as its superuser; the roles it names are made first, without a login.

    Raises StackError with the first error of the program that reads it: nothing less than all of it is a success.
    """
    await _make_roles(await _roles(dump, programs), database_url)
    if dump.form is Form.PLAIN:
        quietly = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={dump.path}")
        await _run(programs.bin / "psql", *quietly, url=database_url, output=subprocess.DEVNULL)
        return
    jobs = () if dump.form is Form.TAR else (f"--jobs={_RESTORE_JOBS}",)
    options = ("--no-owner", "--exit-on-error", *jobs, str(dump.path))
    await _run(programs.bin / "pg_restore", *options, url=database_url, output=subprocess.DEVNULL)


_NAMES_ROLES = re.compile(rb"(?:GRANT|REVOKE|ALTER|CREATE POLICY|SET SESSION AUTHORIZATION) ")
_ROLE = re.compile(rb'\b(?:TO|FROM|ROLE|AUTHORIZATION|BY) ("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)')


async def _roles(dump: Dump, programs: PostgresPrograms) -> set[str]:
    """The roles that owners, grants and policies of the dump name. A word too many does no harm to an empty server."""
    if dump.form is Form.PLAIN:
        return await asyncio.to_thread(_roles_in, dump.path)
    text = await _run(programs.bin / "pg_restore", "--schema-only", "--file=-", str(dump.path), output=subprocess.PIPE)
    return {role for line in text.splitlines() for role in _roles_of(line)}


def _roles_in(path: Path) -> set[str]:
    with path.open("rb") as file:
        return {role for line in file for role in _roles_of(line)}


def _roles_of(line: bytes) -> Iterator[str]:
    if _NAMES_ROLES.match(line):
        for found in _ROLE.findall(line):
            name = found.decode(errors="replace")
            yield name[1:-1].replace('""', '"') if name.startswith('"') else name


async def _make_roles(names: set[str], database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        there = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for name in sorted(names - there):
            if name != "public" and not name.startswith("pg_"):
                await connection.execute('CREATE ROLE "{}" NOLOGIN'.format(name.replace('"', '""')))
    finally:
        await connection.close()


async def _run(program: Path, *arguments: str, output: int, url: str | None = None) -> bytes:
    """What the program prints, where `output` is a pipe; raises StackError with the first line of what it complains of."""
    kept = variables_for_programs()
    if url is not None:
        plain, password = for_programs(url)
        arguments = (f"--dbname={plain}", *arguments)
        kept |= {"PGPASSWORD": password} if password else {}
    try:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, env=kept, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE
        )
    except FileNotFoundError:
        raise StackError(f"there is no {program}: install the client programs of Postgres beside its server") from None
    try:
        said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise StackError(_first_error(complaint) or f"{program.name} ended with {process.returncode}")
    return said or b""


def _first_error(complaint: bytes) -> str:
    lines = [line.strip() for line in complaint.decode(errors="replace").splitlines() if line.strip()]
    wrong: Callable[[str], bool] = lambda line: "error:" in line.lower() or "fatal:" in line.lower()  # noqa: E731
    return next(filter(wrong, lines), lines[0] if lines else "")
