"""Restore dumps into an empty server: custom, directory and tar format with pg_restore, plain SQL with psql."""

import asyncio
import contextlib
import re
import subprocess
from collections.abc import Iterator

import asyncpg

from app.core.database.connections import SERVICE_ROLE
from app.core.database.schema import find_schema
from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.stack.backups.dumps import Dump, Form
from app.stack.errors import StackError
from app.stack.servers.binaries import PostgresPrograms
from app.stack.servers.client_programs import run_program

_SQL = SqlFolder(__file__)
_HAS_VIEWS = _SQL.query("has_views", bool)
_HAS_PRIVILEGES = _SQL.query("has_privileges", bool)
_ANALYZE = _SQL.command("analyze")
_NEW_ROLES = _SQL.query("list_new_roles", str)

_RESTORE_JOBS = 2
_PIECE_BYTES = 4 * 1024 * 1024
_OPTIONS = (
    "--no-owner",
    "--no-tablespaces",
    # a dump that names its schemas (--schema=public) would create `public`, which exists
    "--clean",
    "--if-exists",
    "--exit-on-error",
)
_WHOLE = "expected a dump of the whole database in WAYSTATION_DATABASE_URL"


async def restore(dump: Dump, programs: PostgresPrograms, database_url: str) -> None:
    """Restore a dump into an empty database as its superuser. The roles that the dump names are created first, without a login.

    Raises StackError with the first error of the program: only a complete restore succeeds. Also raises it for a dump of
    something else, or of a part.
    """
    await _make_roles(await _roles(dump, programs), database_url)
    if dump.form is Form.PLAIN:
        quietly = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={dump.path}")
        await run_program(programs.bin / "psql", *quietly, url=database_url, output=subprocess.DEVNULL)
    else:
        jobs = () if dump.form is Form.TAR else (f"--jobs={_RESTORE_JOBS}",)
        options = (*_OPTIONS, *jobs, str(dump.path))
        await run_program(programs.bin / "pg_restore", *options, url=database_url, output=subprocess.DEVNULL)
    await _finish(dump, database_url)


async def _finish(dump: Dump, database_url: str) -> None:
    """Check that the dump has our schema, views and privileges: the migration of an empty database would create what is
    missing. Then ANALYZE for the planner."""
    connection = await asyncpg.connect(database_url)
    try:
        if (await find_schema(connection)).version is None:
            raise StackError(f"{dump.path} has no Waystation tables, or no rows: {_WHOLE}, with its data")
        session = Session(connection)
        if not await session.get_value(_HAS_VIEWS):
            raise StackError(f"{dump.path} lacks the schema ops: {_WHOLE}")
        if not await session.get_value(_HAS_PRIVILEGES, role=SERVICE_ROLE):
            raise StackError(
                f"{dump.path} lacks privileges: {_WHOLE}, made without the option --no-privileges (-x) of pg_dump"
            )
        await session.run(_ANALYZE)
    finally:
        await connection.close()


_NAMES_ROLES = re.compile(rb"(?:GRANT|REVOKE|ALTER|CREATE POLICY|SET SESSION AUTHORIZATION) ")
_ROLE = re.compile(rb'\b(?:TO|FROM|ROLE|AUTHORIZATION|BY) ("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)')
_CONNECTS = b"\\connect "
"""No row of COPY begins like this: it would have a second backslash."""


async def _roles(dump: Dump, programs: PostgresPrograms) -> set[str]:
    """Return the roles that owners, grants and policies name. A wrong name does no harm on an empty server."""
    if dump.form is Form.PLAIN:
        return await _roles_in(dump)
    text = await run_program(
        programs.bin / "pg_restore", "--schema-only", "--file=-", str(dump.path), output=subprocess.PIPE
    )
    return {role for line in text.splitlines() for role in _roles_of(line)}


async def _roles_in(dump: Dump) -> set[str]:
    """Return the roles in a plain dump. Raises StackError if the dump creates its own database."""
    found: set[str] = set()
    with dump.path.open("rb") as file:
        while lines := await asyncio.to_thread(file.readlines, _PIECE_BYTES):
            for line in lines:
                if line.startswith(_CONNECTS):
                    raise StackError(
                        f"{dump.path} creates its own database: expected a dump made without the option --create of pg_dump"
                    )
                found.update(_roles_of(line))
    return found


def _roles_of(line: bytes) -> Iterator[str]:
    if _NAMES_ROLES.match(line):
        for found in _ROLE.findall(line):
            name = found.decode(errors="replace")
            yield name[1:-1].replace('""', '"') if name.startswith('"') else name


async def _make_roles(names: set[str], database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for statement in await Session(connection).values(_NEW_ROLES, names=sorted(names - {"public"})):
            # the role exists, or the word is not the name of a role: if a role is missing, the restore will fail
            with contextlib.suppress(asyncpg.DuplicateObjectError, asyncpg.ReservedNameError, asyncpg.InvalidNameError):
                await connection.execute(statement)
    finally:
        await connection.close()
