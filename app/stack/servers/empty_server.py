"""A temporary, empty Postgres in TMPDIR, to check a copy of a database."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

from app.core.clock import now
from app.stack.errors import StackError
from app.stack.files import text_of
from app.stack.processes.interlock import is_locked
from app.stack.servers.binaries import PostgresPrograms, find_postgres
from app.stack.servers.client_programs import first_error
from app.stack.servers.postgres import EmbeddedPostgres

_PREFIX = "waystation-backup-"
_START_SECONDS = 300
"""A server that starts has its lock after this time."""


@asynccontextmanager
async def empty_server() -> AsyncIterator[tuple[PostgresPrograms, str]]:
    """Run an empty server; yields its programs and its superuser's URL. Removes its files at the end, and those of killed
    processes.

    Raises StackError if there is no room for it, or it does not start.
    """
    programs = find_postgres(instead="")
    try:
        # if TMPDIR cannot be used, `tempfile` alone would silently use another disk
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=os.environ.get("TMPDIR") or None))
    except OSError as error:
        raise StackError(f"TMPDIR: {error.filename or error} cannot be written: {error.strerror}") from None
    try:
        _remove_leftovers(directory)
        server = EmbeddedPostgres(directory / "postgres", password=uuid4().hex)
        try:
            await _start(server)
            yield programs, server.url
        finally:
            await server.stop()
    finally:
        shutil.rmtree(directory)


async def _start(server: EmbeddedPostgres) -> None:
    try:
        await server.start()
    except (StackError, OSError) as error:
        cause = first_error(text_of(server.log_path) or "") or error
        raise StackError(
            f"no server can be started in {server.directory.parent.parent}: {cause}; TMPDIR sets the directory"
        ) from None


def _remove_leftovers(ours: Path) -> None:
    """Each of them is as large as a database."""
    for other in ours.parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another process may remove it at the same time
            found = other.lstat()
            may_start = now().timestamp() < found.st_mtime + _START_SECONDS
            if found.st_uid == os.geteuid() and not (may_start or is_locked(other / "postgres/lock")):
                shutil.rmtree(other, ignore_errors=True)
