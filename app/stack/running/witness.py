"""Detect whether a data directory is the one that a stack last ran on, or a copy of it.

The record DIR/witness.json has the inode and the instant of the last change of the file DIR/witness. A copy or a replacement of
that file has another inode or a later instant. Neither can be set.
"""

import os
from pathlib import Path

from app.stack.files import hand_on, read_json, write_json

SELF = "witness"
RECORD = "witness.json"


def is_copy(directory: Path) -> bool:
    """Return whether the files of `directory` are not those that `mark` recorded. False if never marked and without a
    database."""
    record = read_json(directory / RECORD)
    if record is None:
        return (directory / "postgres" / "data").exists()
    return record != _found(directory)


def mark(directory: Path) -> None:
    """Record that this is the directory that a stack last ran on."""
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
