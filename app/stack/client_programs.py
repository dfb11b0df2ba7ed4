"""Programs of Postgres that are its clients, such as pg_dump: run to their end, with what they complain of."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from app.core.database_url import for_programs, variables_for_programs
from app.stack.errors import StackError
from app.stack.process import launched


async def run_program(program: Path, *arguments: str, output: int, url: str | None = None) -> bytes:
    """What the program prints, where `output` is a pipe; raises StackError with its first error. It ends with this process.

    `url`: the database that it works on. From the main thread.
    """
    if not os.access(program, os.X_OK):
        raise StackError(f"{program} not found: install the client programs of Postgres in the directory of its server")
    variables = variables_for_programs()
    if url is not None:
        plain, password = for_programs(url)
        arguments = (f"--dbname={plain}", *arguments)
        variables |= {"PGPASSWORD": password} if password else {}
    process = await asyncio.create_subprocess_exec(
        *launched([str(program), *arguments], death_signal=signal.SIGKILL),
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
    )
    try:
        said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise StackError(
            first_error(complaint.decode(errors="replace")) or f"{program.name} exited with {process.returncode}"
        )
    return said or b""


def first_error(complaint: str) -> str:
    """The first line that says what went wrong; empty where there is no line."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    wrong: Callable[[str], bool] = lambda line: "error:" in line.lower() or "fatal:" in line.lower()  # noqa: E731
    return next(filter(wrong, lines), lines[0] if lines else "")
