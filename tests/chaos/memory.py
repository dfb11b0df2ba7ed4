"""How much memory a stack's own processes take, by role, while something goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.stack import Stack

ROLES: Final = ("api", "worker", "postgres", "redis")


@dataclass(slots=True)
class Memory:
    """The memory of the stack's own processes, read once a second: what each has for itself, without shared buffers."""

    stack: Stack
    most_bytes: dict[str, dict[str, int]] = field(default_factory=dict)
    """By what was going on, then by role: the most that was read."""

    @asynccontextmanager
    async def watched(self, what: str) -> AsyncIterator[None]:
        """For the length of the block."""
        task = asyncio.create_task(self._watch(self.most_bytes.setdefault(what, {})))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled(), task.exception()

    async def _watch(self, most: dict[str, int]) -> None:
        while True:
            for role, size in (await asyncio.to_thread(self._read)).items():
                most[role] = max(most.get(role, 0), size)
            await asyncio.sleep(1.0)

    def _read(self) -> dict[str, int]:
        read = {role: sum(map(own_bytes, tree(self.stack.pids(role)))) for role in ROLES}
        return {**read, "all": sum(read.values())}

    def growth_bytes(self, what: str, *, beyond: str) -> dict[str, int]:
        """By role, and of all together: by how much the most read in one time is above that of another."""
        return {role: size - self.most_bytes[beyond][role] for role, size in self.most_bytes[what].items()}


def tree(pids: Sequence[int]) -> list[int]:
    """These processes and all below them."""
    found = list(pids)
    for pid in found:  # grows meanwhile
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return found


def own_bytes(pid: int) -> int:
    """Anonymous memory of a process; 0 where it has gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0
