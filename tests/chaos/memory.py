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
    """By what went on (the healthy tenant `alone`, the hostile one `beside`, alone `again`), then by role: the most read."""

    @asynccontextmanager
    async def watched(self, what: str) -> AsyncIterator[None]:
        """For the length of the block."""
        most = self.most_bytes.setdefault(what, {})
        await self._look(most)
        task = asyncio.create_task(self._watch(most))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled(), task.exception()

    async def _watch(self, most: dict[str, int]) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self._look(most)

    async def _look(self, most: dict[str, int]) -> None:
        for role, size in (await asyncio.to_thread(self._read)).items():
            most[role] = max(most.get(role, 0), size)

    def _read(self) -> dict[str, int]:
        return {role: sum(map(own_bytes, tree(self.stack.pids(role)))) for role in ROLES}

    def growth_bytes(self) -> dict[str, int]:
        """By role, and of all together: by how much the most `beside` is above the most `alone`.

        Postgres' is compared with the times `again` alone, too: what a connection keeps grows to some 20 MB with the kinds
        of statements that it has run, whoever asked for them.
        """
        before, after = self.most_bytes["alone"], self.most_bytes["again"]
        base = before | {"postgres": max(before["postgres"], after["postgres"])}
        grown = {role: self.most_bytes["beside"][role] - base[role] for role in ROLES}
        return {**grown, "all": sum(grown.values())}


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
