"""Output of commands: one line, a plain table, or JSON."""

import getpass
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer

from app.core.escapes import json_text, lines, one_line

DataDir = Annotated[
    Path,
    typer.Option("--data-dir", help="Where `waystation up` keeps its data.", file_okay=False, show_default=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DATA_DIR = Path(".waystation")


def whoami() -> str:
    """Return who runs the command: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def operator_here() -> str:
    """Return the name of the user of the command line for the audit log."""
    return f"command line: {whoami().partition('@')[0]}"


def echo(text: str, *, to_stderr: bool = False, end: bool = True) -> None:
    """Print lines of our own. Callers escape foreign values in them with `escapes.one_line` first, as `table` does."""
    typer.echo(lines(text), err=to_stderr, nl=end)


def found(verdict: str, name: str, said: str) -> str:
    """Format a line of a list of findings, in columns. `verdict`: ok, WRONG, or - for what was not checked."""
    return f"{verdict:<6}{name:<14}{said}"


def silent(line: str) -> None:
    """Replace `echo` if the output is JSON: prints nothing."""


def say(line: str, *, value: object, as_json: bool) -> None:
    """Print one line, or `value` as JSON if `as_json`. A line break in the line is escaped."""
    say_all(one_line(line), value=value, as_json=as_json)


def say_all(text: str, *, value: object, as_json: bool) -> None:
    """Like `say`, with several lines. Callers have escaped foreign values in them with `escapes.one_line`."""
    if as_json:
        typer.echo(json_text(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()))
    else:
        echo(text)


def progress(line: str) -> None:
    """Show the progress of long work. On a terminal each line replaces the one before."""
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[K{one_line(line)}", err=True, nl=False)
    else:
        echo(line, to_stderr=True)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format rows under their heads, in columns. Control characters are escaped."""
    shown = [[one_line(cell) for cell in line] for line in (heads, *rows)]
    widths = [max(len(line[column]) for line in shown) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in shown
    )


PROGRESS_STEPS = 10
"""The most lines of progress if there is no terminal for a bar."""


@contextmanager
def progress_bar(what: str, *, total: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of long work on standard error: a bar on a terminal, plain lines elsewhere.

    Gives a function to call with the number of things done since its last call.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)
        return
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if before * PROGRESS_STEPS // total < done * PROGRESS_STEPS // total and done < total:  # the end is obvious
            echo(f"{done} of {total} {what}", to_stderr=True)

    yield advance
