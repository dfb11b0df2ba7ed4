"""Run client programs of Postgres, such as pg_dump, and report their errors."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from app.core.database.database_url import for_programs, variables_for_programs
from app.stack.errors import StackError
from app.stack.processes.process import launched


async def run_program(program: Path, *arguments: str, output: int, url: str | None = None) -> bytes:
    """Run a program to its end. Return its output if `output` is a pipe. Raises StackError with its first error.

    `url`: the database that it uses. Call it from the main thread; the program ends with this process.
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
    """Return the first line with an error, else the first line; empty if none."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    wrong: Callable[[str], bool] = lambda line: "error:" in line.lower() or "fatal:" in line.lower()  # noqa: E731
    return next(filter(wrong, lines), lines[0] if lines else "")
