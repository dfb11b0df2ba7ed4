"""How others learn of a running stack: DIR/stack.json, and the file that `--ready-file` names; the same in both."""

from pathlib import Path
from typing import TypedDict, cast

from app.stack.errors import StackError
from app.stack.files import make_directory, read_json, write_json
from app.stack.processes.interlock import is_locked

LOCK = "lock"
STACK = "stack.json"


class Pids(TypedDict):
    """The processes of each kind; None: that server is not ours."""

    api: list[int]
    worker: list[int]
    postgres: int | None
    redis: int | None


class RunningStack(TypedDict):
    """A healthy stack, as the ready file has it."""

    url: str
    api_key: str
    tenant: str
    admin_key: str
    database_url: str
    redis_url: str
    upstream_url: str
    pids: Pids


def publish(stack: RunningStack, directory: Path, ready_file: Path | None) -> None:
    """Replace both files, each by a rename."""
    for path in (directory / STACK, ready_file):
        if path is not None:
            make_directory(path.parent)
            write_json(path, stack)


def withdraw(directory: Path, ready_file: Path | None) -> None:
    """Remove both files: nothing is ready any more."""
    for path in (directory / STACK, ready_file):
        if path is not None:
            path.unlink(missing_ok=True)


def find_running(directory: Path) -> RunningStack | None:
    """The stack that runs on that data directory now and is healthy, or None; StackError where we may not look."""
    try:
        if not is_locked(directory / LOCK):
            return None
        return cast(RunningStack | None, read_json(directory / STACK))
    except PermissionError as error:
        raise StackError(f"a stack of another user may be running on {directory}: {error.strerror}") from error
