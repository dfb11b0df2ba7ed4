"""One of our own processes, for the supervisor."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.core.clock import monotonic
from app.core.config.setting_files import replaced
from app.core.process.watchdog import EXIT_CODE
from app.stack.errors import StackError
from app.stack.files import last_lines, make_directory, open_log
from app.stack.processes.interlock import sign, take_over
from app.stack.processes.process import Process, start_process

_POLL_SECONDS = 0.02
LEFTOVER_SECONDS = 5.0
"""How long a child of a killed supervisor may take to end."""

Ready = Callable[[int], Awaitable[bool]]
"""Whether the process with this id is ready. It is called again until it returns True."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """The process to run. `name` is unique in the stack (`api-0`); `kind` is its group (`api`)."""

    name: str
    kind: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    pass_fds: Sequence[int] = ()
    ready: Ready | None = None
    ready_seconds: float = 60.0
    grace_seconds: float = 35.0
    log_path: Path | None = None
    """The file for its output. None: our own output."""


class Child:
    """A process that can be started again from its spec. `lock_directory` contains its interlock."""

    def __init__(self, spec: ChildSpec, lock_directory: Path) -> None:
        self.spec = spec
        self.name = spec.name
        self._lock_path = lock_directory / f"{spec.name}.lock"
        self._process: Process | None = None
        self._hurry = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The id of the current process."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the process. A process that an earlier supervisor left behind is stopped first."""
        make_directory(self._lock_path.parent)
        lock = await take_over(self._lock_path, stop_signal=signal.SIGTERM, patience_seconds=LEFTOVER_SECONDS)
        try:
            self._process = self._launch(lock)
            sign(lock, self._process.pid)
        finally:
            os.close(lock)

    def _launch(self, lock: int) -> Process:
        spec = self.spec
        output = open_log(spec.log_path) if spec.log_path else None
        try:
            return start_process(
                spec.argv,
                log=output.fileno() if output else None,
                death_signal=signal.SIGTERM,
                environment=replaced(os.environ, spec.environment),
                pass_fds=[lock, *spec.pass_fds],
            )
        finally:
            if output:
                output.close()

    async def until_ready(self) -> None:
        """Return when the process is ready. Raises StackError if it ends first, or takes longer than `ready_seconds`.

        If its watchdog ended it because the machine was too busy, it is started again within that time.
        """
        until = monotonic() + self.spec.ready_seconds
        while True:
            process = self._process
            if process is not None and process.returncode == EXIT_CODE and monotonic() < until:
                await self.start()
                continue
            if process is None or process.returncode is not None:
                raise StackError(f"{self.name} failed to start{self._log_lines()}")
            if self.spec.ready is None or await self.spec.ready(process.pid):
                return
            if monotonic() > until:
                raise StackError(f"{self.name} is not ready after {self.spec.ready_seconds:.0f} s{self._log_lines()}")
            await asyncio.sleep(_POLL_SECONDS)

    async def wait(self) -> int:
        """Wait until it ends. Return its return code."""
        if self._process is None:
            raise RuntimeError("not started yet")
        return await self._process.wait()

    async def stop(self) -> None:
        """Send SIGTERM, wait for the grace period or `hurry`, then send SIGKILL."""
        if self._process is None:
            return
        hurried = asyncio.create_task(self._kill_when_hurried(self._process))
        try:
            await self._process.stop(((signal.SIGTERM, self.spec.grace_seconds),))
        finally:
            hurried.cancel()

    def hurry(self) -> None:
        """Do not wait any longer for the process to stop."""
        self._hurry.set()

    async def _kill_when_hurried(self, process: Process) -> None:
        await self._hurry.wait()
        process.send(signal.SIGKILL)

    def _log_lines(self) -> str:
        if self.spec.log_path is None:
            return ""
        return f": {last_lines(self.spec.log_path)} (see {self.spec.log_path})"
