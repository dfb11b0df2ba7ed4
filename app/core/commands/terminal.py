"""How a command speaks: one clear line, a plain table, or JSON."""

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
    """Who speaks, as far as this machine knows: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def operator_here() -> str:
    """Who is at the command line, as the audit log names them."""
    return f"command line: {whoami().partition('@')[0]}"


def echo(text: str, *, to_stderr: bool = False, end: bool = True) -> None:
    """Print lines of our own making; foreign values in them go through `escapes.one_line` first, as `table` does it."""
    typer.echo(lines(text), err=to_stderr, nl=end)


def found(verdict: str, name: str, said: str) -> str:
    """A line of a list of findings, in columns; `verdict`: ok, WRONG, or - for what was not looked at."""
    return f"{verdict:<6}{name:<14}{said}"


def silent(line: str) -> None:
    """In the place of `echo` where JSON was asked for."""


def say(line: str, *, value: object, as_json: bool) -> None:
    """Print one line, or `value` as JSON where that was asked for; a line break in it is written out."""
    say_all(one_line(line), value=value, as_json=as_json)


def say_all(text: str, *, value: object, as_json: bool) -> None:
    """As `say`, of several lines; what is foreign in them has gone through `escapes.one_line`, as in `table`."""
    if as_json:
        typer.echo(json_text(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()))
    else:
        echo(text)


def progress(line: str) -> None:
    """Tell how far long work has come: over the line before on a terminal, line after line elsewhere."""
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[K{one_line(line)}", err=True, nl=False)
    else:
        echo(line, to_stderr=True)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their heads, in columns; control characters in them are written out."""
    shown = [[one_line(cell) for cell in line] for line in (heads, *rows)]
    widths = [max(len(line[column]) for line in shown) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in shown
    )


PROGRESS_STEPS = 10
"""Lines of progress at most, where there is no terminal to draw a bar on."""


@contextmanager
def progress_bar(what: str, *, total: int) -> Iterator[Callable[[int], None]]:
    """Show on standard error how far long work has got: a bar on a terminal, plain lines elsewhere.

    Gives the function to call with the number of things done since its last call.
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
        if before * PROGRESS_STEPS // total < done * PROGRESS_STEPS // total and done < total:  # the end tells itself
            echo(f"{done} of {total} {what}", to_stderr=True)

    yield advance
