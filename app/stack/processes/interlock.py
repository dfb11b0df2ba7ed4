"""Prevent two processes for one purpose, even if their starter was killed.

An interlock is a file lock that a child inherits at fork. The kernel holds it until that child and all heirs of the child
(Postgres's backends, Valkey's rewriter) have ended. So a lock that can be taken proves that no process is left. Otherwise its
holder is stopped first.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from app.core.clock import monotonic
from app.core.logs.log import get_logger
from app.stack.errors import AlreadyRunning, StackError
from app.stack.files import hand_on, text_of

log = get_logger(__name__)

_PAUSE_SECONDS = 0.02
_KILL_SECONDS = 5.0
_OURS_SECONDS = 0.5


def try_lock(path: Path) -> int | None:
    """Return an open, locked descriptor; None if another process holds the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    hand_on(descriptor, path.parent)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(path: Path) -> bool:
    """Return whether it is held. A concurrent call of this function does not count."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def sign(descriptor: int, pid: int) -> None:
    """Write the owner's id into the file."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(pid).encode(), 0)


def signed(path: Path) -> int | None:
    """Return the current or last owner."""
    text = text_of(path)
    return int(text) if text and text.isdigit() else None


def _opens(process: Path, device_and_inode: tuple[int, int]) -> bool:
    with contextlib.suppress(OSError):  # it has ended, or belongs to another user and so is not ours
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                found = descriptor.stat()
                if (found.st_dev, found.st_ino) == device_and_inode:
                    return True
    return False


def _holders(path: Path) -> set[int]:
    """Return the processes that have the file open, except this one."""
    if sys.platform == "linux":
        wanted = path.stat()
        found = {
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdigit() and _opens(process, (wanted.st_dev, wanted.st_ino))
        }
    else:
        lsof = shutil.which("lsof") or "/usr/sbin/lsof"
        listed = subprocess.run([lsof, "-t", "--", str(path)], capture_output=True, text=True, check=False)  # noqa: S603
        found = {int(word) for word in listed.stdout.split()}
    return found - {os.getpid()}


def _send(pids: set[int], signal_: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # `take_over` raises if it cannot stop it
            os.kill(pid, signal_)


async def take_over(path: Path, *, stop_signal: signal.Signals, patience_seconds: float) -> int:
    """Return the locked descriptor. First stop the current holder, and kill it after `patience_seconds`. Raises StackError."""
    descriptor = try_lock(path)
    if descriptor is not None:
        return descriptor
    began = monotonic()
    owner = {signed(path)} & _holders(path)
    log.info("stack.old_process_stopping", lock=path.name, pid=next(iter(owner), None))
    _send({pid for pid in owner if pid is not None}, stop_signal)
    if not owner:  # only children of a dead server hold the lock
        patience_seconds = min(patience_seconds, _KILL_SECONDS)
    killing_at = began + patience_seconds
    while (descriptor := try_lock(path)) is None:
        if monotonic() > killing_at + _KILL_SECONDS:
            raise StackError(f"{path} is locked by a process that this user may not stop")
        if monotonic() > killing_at:
            _send(_holders(path), signal.SIGKILL)
        await asyncio.sleep(_PAUSE_SECONDS)
    return descriptor


async def hold_directory(path: Path) -> int:
    """Return the lock of a data directory. We hold it until we end. Raises AlreadyRunning.

    A call of `is_locked` in another process holds the lock for a short time, on a busy machine for seconds. We wait for that as
    long as it takes, but for a supervisor that is about to end only `_OURS_SECONDS`.
    """
    until = monotonic() + _OURS_SECONDS
    while (descriptor := try_lock(path)) is None:
        if monotonic() > until and is_locked(path):
            raise AlreadyRunning(f"already running on {path.parent} (process {signed(path)})")
        await asyncio.sleep(_PAUSE_SECONDS)
    sign(descriptor, os.getpid())
    return descriptor
