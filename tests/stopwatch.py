"""How long something takes, on a machine that may be busy with other work meanwhile."""

import time
from pathlib import Path

_PRESSURE = (Path("/proc/pressure/cpu"), Path("/proc/pressure/io"))


def _stalled_seconds() -> float:
    """Seconds since boot in which a process of this machine waited for a processor or a disk; 0 where nobody counts."""
    total = 0
    for path in _PRESSURE:
        try:
            some = path.read_text().splitlines()[0]
        except (OSError, IndexError):
            return 0.0
        total += int(some.rpartition("total=")[2])
    return total / 1e6


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._began_at = time.monotonic()
        self._stalled = _stalled_seconds()

    @property
    def seconds(self) -> float:
        """By the clock: for what must last at least so long."""
        return time.monotonic() - self._began_at

    @property
    def own_seconds(self) -> float:
        """The same without the time in which processes had to wait for the machine: for what must not last longer."""
        return self.seconds - (_stalled_seconds() - self._stalled)
