"""Publish a running stack in DIR/stack.json and in the file of `--ready-file`. Both have the same content."""

from pathlib import Path
from typing import TypedDict, cast

from app.stack.errors import StackError
from app.stack.files import make_directory, read_json, write_json
from app.stack.processes.interlock import is_locked

LOCK = "lock"
STACK = "stack.json"


class Pids(TypedDict):
    """The process ids of each kind. None: the server is not ours."""

    api: list[int]
    worker: list[int]
    postgres: int | None
    redis: int | None


class RunningStack(TypedDict):
    """A healthy stack, as in the ready file."""

    url: str
    api_key: str
    tenant: str
    admin_key: str
    database_url: str
    redis_url: str
    upstream_url: str
    pids: Pids


def publish(stack: RunningStack, directory: Path, ready_file: Path | None) -> None:
    """Write both files, each by a rename."""
    for path in (directory / STACK, ready_file):
        if path is not None:
            make_directory(path.parent)
            write_json(path, stack)


def withdraw(directory: Path, ready_file: Path | None) -> None:
    """Remove both files: the stack is no longer ready."""
    for path in (directory / STACK, ready_file):
        if path is not None:
            path.unlink(missing_ok=True)


def find_running(directory: Path) -> RunningStack | None:
    """Return the healthy stack on this data directory, or None. Raises StackError if we may not look."""
    try:
        if not is_locked(directory / LOCK):
            return None
        return cast(RunningStack | None, read_json(directory / STACK))
    except PermissionError as error:
        raise StackError(f"a stack of another user may be running on {directory}: {error.strerror}") from error
