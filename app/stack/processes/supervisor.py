"""Keep members running: start them, replace those that end, and stop them in reverse order."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

from app.core.clock import monotonic
from app.core.logs.log import get_logger
from app.stack.errors import StackError
from app.stack.files import bound_log
from app.stack.processes.child import LEFTOVER_SECONDS, Child, ChildSpec
from app.stack.processes.interlock import take_over

log = get_logger(__name__)

QUICK_SECONDS = 3.0
"""A member that ends within this time has failed to start, unless it was killed."""
BACKOFF_FIRST_SECONDS = 0.2
BACKOFF_MAX_SECONDS = 10.0
_LOG_CHECK_SECONDS = 30.0

RUN = "run"
"""The folder of the data directory with the interlocks of the children."""


def backoff_seconds(failures: int) -> float:
    """Return how long to wait before the next start after so many failures in a row; 0 after the first."""
    if failures < 2:
        return 0.0
    return min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(failures - 2, 16))


async def side_by_side(*work: Coroutine[Any, Any, None]) -> None:
    """Run all coroutines concurrently. If one fails, cancel the others and raise its exception."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def stop_leftovers(directory: Path) -> None:
    """Stop children of a killed supervisor: they would hold ports and take work."""
    for path in sorted((directory / RUN).glob("*.lock")):
        os.close(await take_over(path, stop_signal=signal.SIGTERM, patience_seconds=LEFTOVER_SECONDS))


class Member(Protocol):
    """A server or a child. `start` may be called again when `wait` has returned."""

    @property
    def name(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    async def start(self) -> None: ...
    async def wait(self) -> int: ...
    async def stop(self) -> None: ...


class Supervisor:
    """The members of one stack, for one event loop in the main thread.

    `changed` is called whenever a member was replaced: a server when it accepts connections again, a child when it runs.
    `logs`: the directory whose logs are kept short.
    """

    def __init__(self, directory: Path, *, changed: Callable[[], None], logs: Path | None = None) -> None:
        self._directory = directory
        self._changed = changed
        self._logs = logs
        self._tiers: list[tuple[Member, ...]] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._pids: dict[tuple[str, str], int] = {}
        self._stopping = False

    async def add_server(self, server: Member) -> None:
        """Start a server and keep it running. Raises StackError if it does not start; then it is not running."""
        self._tiers.append((server,))
        await server.start()
        self._note(server)
        self._watchers.append(asyncio.create_task(self._keep(server)))

    async def add_children(self, specs: Sequence[ChildSpec]) -> None:
        """Start children concurrently and keep them running. Return when all are ready. Raises StackError if one is not."""
        children = [Child(spec, self._directory / RUN) for spec in specs]
        self._tiers.append(tuple(children))
        for child in children:
            await child.start()
            self._note(child)
        await side_by_side(*(child.until_ready() for child in children))
        for child in children:
            self._note(child)
        self._watchers += [asyncio.create_task(self._keep(child)) for child in children]

    def pids(self, kind: str) -> list[int]:
        """Return the process ids of this kind: a child (`api`) from its start, a server (`postgres`) from when it serves."""
        return [pid for (of_kind, _), pid in self._pids.items() if of_kind == kind]

    def keep_logs_short(self) -> None:
        """Start to limit the size of the logs."""
        self._watchers.append(asyncio.create_task(self._bound_logs()))

    def hurry(self) -> None:
        """Kill our own processes instead of waiting for their grace period. Servers still stop in order."""
        for tier in self._tiers:
            for member in tier:
                if isinstance(member, Child):
                    member.hurry()

    async def stop(self) -> None:
        """Stop all members, the last added first, also half-started ones."""
        self._stopping = True
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for tier in reversed(self._tiers):
            for outcome in await asyncio.gather(*(member.stop() for member in tier), return_exceptions=True):
                if isinstance(outcome, BaseException):
                    log.error("stack.stop_failed", member=tier[0].name, error=str(outcome))
        self._tiers.clear()

    async def _keep(self, member: Member) -> None:
        failures = 0
        while not self._stopping:
            began = monotonic()
            code = await member.wait()
            # a killed member has not failed: only the others delay the next start
            failed = monotonic() - began < QUICK_SECONDS and code != -signal.SIGKILL
            failures = failures + 1 if failed else 0
            log.warning("stack.process_died", member=member.name, code=code)
            failures = await self._restart(member, failures)
            log.info("stack.process_restarted", member=member.name, pid=member.pid)
            self._note(member)
            self._changed()

    def _note(self, member: Member) -> None:
        if member.pid is not None:
            kind = member.spec.kind if isinstance(member, Child) else member.name
            self._pids[kind, member.name] = member.pid

    async def _restart(self, member: Member, failures: int) -> int:
        """Start it, however long that takes. Return the failures in a row."""
        while True:
            await asyncio.sleep(backoff_seconds(failures))
            try:
                await member.start()
            except (OSError, StackError) as error:
                failures += 1
                log.error("stack.restart_failed", member=member.name, failures=failures, error=str(error))
            else:
                return failures

    async def _bound_logs(self) -> None:
        while self._logs is not None:
            for path in self._logs.glob("*.log"):
                bound_log(path)
            await asyncio.sleep(_LOG_CHECK_SECONDS)
