"""CPU time of processes, from `/proc`."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    own_seconds: float
    dead_children_seconds: float


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    parts = text.rpartition(")")[2].split()
    user, system, dead_user, dead_system = (int(part) * _TICK_SECONDS for part in parts[11:15])
    return _Stat(int(parts[1]), user + system, dead_user + dead_system)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Of these processes and all below them; of the ended ones below as far as they were waited for."""
    stats = {int(name): stat for name in os.listdir("/proc") if name.isdigit() and (stat := _stat(int(name)))}
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat.parent, []).append(pid)
    total, left = 0.0, list(pids)
    while left:
        pid = left.pop()
        stat = stats.get(pid)
        if stat is not None:
            total += stat.own_seconds + stat.dead_children_seconds
            left += children.get(pid, ())
    return total


def machine_seconds() -> float:
    """CPU seconds that all processes of this machine have used, ours and everybody's."""
    user, nice, system, _idle, _wait, irq, soft = map(
        int, Path("/proc/stat").read_text(encoding="utf-8").split("\n")[0].split()[1:8]
    )
    return (user + nice + system + irq + soft) * _TICK_SECONDS


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds by part, and of the whole machine, at one instant."""

    parts: Mapping[str, float]
    machine: float

    def since(self, before: "Usage") -> "Usage":
        """What has been used since."""
        parts = {name: seconds - before.parts[name] for name, seconds in self.parts.items()}
        return Usage(parts, self.machine - before.machine)


def usage(parts: Mapping[str, Iterable[int]]) -> Usage:
    """By part of the stand: `{"api": [pid, …]}`."""
    return Usage({name: cpu_seconds(pids) for name, pids in parts.items()}, machine_seconds())
