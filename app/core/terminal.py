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


def say(line: str, *, value: object, as_json: bool) -> None:
    """Print the line, or `value` as JSON where that was asked for."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2) if as_json else line)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their heads, in columns."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


PROGRESS_STEPS = 10
"""Lines of progress at most, where there is no terminal to draw a bar on."""


@contextmanager
def progress(what: str, *, total: int) -> Iterator[Callable[[int], None]]:
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
            typer.echo(f"{done} of {total} {what}", err=True)

    yield advance
