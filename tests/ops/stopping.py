"""Commands that are stopped in the middle of what they do."""

import asyncio
import signal
import subprocess

import psutil

from tests.gateway import eventually


async def stop_while_it_runs(
    command: "subprocess.Popen[str]", program: str, number: signal.Signals
) -> tuple[str, list[psutil.Process]]:
    """Send the signal to the command once it runs this program, and wait for its end; gives what it said on stderr, and the
    processes that were below it."""

    async def runs() -> bool:
        assert command.poll() is None, command.stderr.read() if command.stderr else ""
        try:
            return any(child.name() == program for child in psutil.Process(command.pid).children())
        except psutil.NoSuchProcess:  # a child that ended while the list was read
            return False

    await eventually(runs, seconds=60)
    below = psutil.Process(command.pid).children(recursive=True)
    command.send_signal(number)
    _, complaint = await asyncio.to_thread(command.communicate, timeout=60)
    return complaint, below
