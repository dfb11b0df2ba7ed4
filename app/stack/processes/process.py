"""Start a process that does not outlive this one, and notice immediately when it ends."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from app.core.clock import monotonic
from app.stack.processes.identity import OURSELVES, Identity

_LAUNCH = str(Path(__file__).with_name("launch.py"))
_POLL_SECONDS = 0.05


class Process:
    """A running child of this process. It is not bound to an event loop."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.started_at = monotonic()

    @property
    def pid(self) -> int:
        """The process id, also after the process has ended."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the number of the signal that ended it."""
        return self._popen.poll()

    async def wait(self) -> int:
        """Wait until it ends. Return its return code."""
        while (code := self._popen.poll()) is None:
            if not hasattr(os, "pidfd_open"):
                await asyncio.sleep(_POLL_SECONDS)
                continue
            try:
                descriptor = os.pidfd_open(self.pid)
            except OSError:  # the kernel is too old, or a sandbox forbids it
                await asyncio.sleep(_POLL_SECONDS)
                continue
            await _readable(descriptor)
        return code

    def send(self, signal_: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(signal_)

    async def stop(self, signals: Sequence[tuple[signal.Signals, float]]) -> int:
        """Send each signal and wait for so many seconds, then send SIGKILL. Return the return code."""
        for signal_, seconds in signals:
            self.send(signal_)
            self.send(signal.SIGCONT)  # a stopped process does not receive other signals
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self.wait(), seconds)
        self.send(signal.SIGKILL)
        return await self.wait()


async def _readable(descriptor: int) -> None:
    """Wait until a descriptor is readable, then close it."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def said(text: str) -> BinaryIO:
    """Return the reading end of a pipe with a short text and nothing else: the standard input of a child."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(text.encode())
    return os.fdopen(reading, "rb")


def launched(command: Sequence[str], *, death_signal: signal.Signals, identity: Identity = OURSELVES) -> list[str]:
    """Return `command` (absolute path first), wrapped so that the kernel sends it `death_signal` when this process dies. Start
    it from the main thread: the kernel ties a child to the thread that started it."""
    options = (os.getpid(), int(death_signal), identity.uid, identity.gid, identity.capability, identity.account)
    return [sys.executable, "-I", "-S", _LAUNCH, *map(str, options), *command]


def start_process(
    command: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    log: int | None,
    death_signal: signal.Signals,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    identity: Identity = OURSELVES,
    directory: Path | None = None,
) -> Process:
    """Start `command` (absolute path first). The kernel sends it `death_signal` when this process dies.

    `log`: the descriptor for its output; None: our output. It has its own session, so a terminal's Ctrl-C does not reach it.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("the kernel ties a child to the thread that started it, so that must be the main thread")
    return Process(
        subprocess.Popen(  # noqa: S603
            launched(command, death_signal=death_signal, identity=identity),
            stdin=stdin,
            stdout=log,
            stderr=log,
            env=environment,
            pass_fds=pass_fds,
            cwd=directory,
            start_new_session=True,
        )
    )
