"""`waystation`, in a process of its own: its exit code, its two streams.

`run` forks one that has imported the program already: to import it takes a second, and the tests call hundreds. What
depends on how a process begins, such as its locale, is for `run_cold`.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
COLD = [sys.executable, "-c", "from app.cli import main; main()"]
SECONDS_MAX = 240
"""After which a command is taken to hang."""

_LOADED = """
import gc, json, os, signal, sys

import app.cli, app.admin.actions.demo, app.core.commands.local, app.core.database.migrate, app.ops.doctor, app.ops.verify
import alembic.command, sqlalchemy.dialects.postgresql.asyncpg

gc.collect()
gc.freeze()
for line in sys.stdin.buffer:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ.clear()
        os.environ.update(asked["environment"])
        for number, path in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
        os.closerange(3, 64)
        sys.argv = ["waystation", *asked["arguments"]]
        signal.alarm(asked["seconds_max"])
        code = 1
        try:
            app.cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout.write(f"{code}\\n")
    sys.stdout.flush()
"""


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours, with these `WAYSTATION_` settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYSTATION_")}
    return kept | {f"WAYSTATION_{name}": value for name, value in settings.items()}


def run_cold(*args: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """The command with these arguments and settings, from nothing."""
    return subprocess.run(
        [*COLD, *args], cwd=ROOT, env=environment(settings), capture_output=True, text=True, timeout=SECONDS_MAX
    )


def run(*args: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """The same, without the second that importing takes."""
    return _loaded().run(list(args), environment(settings))


@cache
def _loaded() -> "_Loaded":
    return _Loaded()


class _Loaded:
    """The process that is forked; one command at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOADED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        atexit.register(self._end)

    def run(self, arguments: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock, tempfile.TemporaryDirectory() as directory:
            out, err = Path(directory, "out"), Path(directory, "err")
            asked = {
                "arguments": arguments, "environment": environment, "out": str(out), "err": str(err),
                "seconds_max": SECONDS_MAX,
            }  # fmt: skip
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
