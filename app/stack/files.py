"""Small files that are whole or absent, and logs that stop growing."""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

LOG_MAX_BYTES = 16 * 1024 * 1024


def hand_on(descriptor: int, directory: Path) -> None:
    """What root makes belongs to whom the directory belongs to, who may be the next to start us."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def make_directory(path: Path) -> None:
    """Make it, closed to others; root's can be passed through, by servers that are not root."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700)
    except FileExistsError:
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        hand_on(descriptor, path.parent)
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Put `text` there, readable by its owner alone; a reader sees the old content or the new, also after a crash."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        hand_on(file.fileno(), path.parent)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """`write_private` of an object."""
    write_private(path, json.dumps(content, indent=2) + "\n")


def text_of(path: Path) -> str | None:
    """The text of that file, or None where there is no such file. One read: other processes remove files at any time."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in that file, or None where there is no such file or no object in it."""
    try:
        found = json.loads(text_of(path) or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def open_log(path: Path) -> BinaryIO:
    """A file that appends to `path`, for a child to write to."""
    make_directory(path.parent)
    bound_log(path)
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)
    hand_on(file.fileno(), path.parent)
    return cast(BinaryIO, file)


def bound_log(path: Path, *, max_bytes: int = LOG_MAX_BYTES) -> None:
    """Move a log that has grown past `max_bytes` to `….1`, under the writers' feet: they append."""
    with contextlib.suppress(FileNotFoundError):  # also one that is removed meanwhile
        if path.stat().st_size > max_bytes:
            shutil.copyfile(path, path.with_name(path.name + ".1"))
            os.truncate(path, 0)


def last_lines(path: Path, count: int = 2) -> str:
    """The end of a log in one line, for an error message."""
    try:
        end = path.read_bytes()[-8192:]
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in end.decode(errors="replace").splitlines()]
    return " / ".join([line for line in lines if line][-count:])
