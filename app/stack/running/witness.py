"""Whether a data directory is the one that a stack last ran on, or a copy of it.

DIR/witness holds the number of its own inode and the instant of its last change. Whoever copies the directory, or puts
another file in its place, gets another inode or a later instant; neither can be set.
"""

import os
from pathlib import Path

from app.stack.files import hand_on, read_json, write_json

SELF = "witness"
RECORD = "witness.json"


def is_copy(directory: Path) -> bool:
    """Whether the files of `directory` are not those that `mark` has seen; False where it was never marked and has no
    database either."""
    record = read_json(directory / RECORD)
    if record is None:
        return (directory / "postgres" / "data").exists()
    return record != _found(directory)


def mark(directory: Path) -> None:
    """From now on, this is the directory that a stack last ran on."""
    descriptor = os.open(directory / SELF, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        hand_on(descriptor, directory)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    write_json(directory / RECORD, _found(directory) or {})


def _found(directory: Path) -> dict[str, int] | None:
    try:
        found = (directory / SELF).stat()
    except FileNotFoundError:
        return None
    return {"inode": found.st_ino, "changed_ns": found.st_ctime_ns}
