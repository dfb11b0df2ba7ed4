"""A disk of a few hundred megabytes, that can be full."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PIECES = (1 << 24, 1 << 20, 1 << 16, 1 << 12)
BALLAST = "ballast"


class SmallDisk:
    """What is mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self._ballast = path / BALLAST

    def fill(self) -> None:
        """Leave no page of it free; again, where something has been given back meanwhile."""
        file = os.open(self._ballast, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            for size in PIECES:
                while _grows(file, size):
                    pass
        finally:
            os.close(file)

    def free(self) -> None:
        """There is room again."""
        self._ballast.unlink(missing_ok=True)


def _grows(file: int, size: int) -> bool:
    try:
        os.posix_fallocate(file, os.fstat(file).st_size, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


@contextmanager
def small_disk(path: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """A file system of that size at `path`, in memory; skips the test where it cannot be mounted."""
    path.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system of limited size cannot be mounted here")
    try:
        yield SmallDisk(path)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", str(path)], capture_output=True, check=True)
