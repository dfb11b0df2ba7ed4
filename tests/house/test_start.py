"""What commands and processes load before they do anything: a command is to start in half a second.

Counted, not timed: a clock measures who else is busy on the machine.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.house.source import ROOT, sources

NEVER = {"alembic", "mako", "pygments", "rich"}
"""Nothing that serves, and no command but `migrate`, needs these."""
NOT_IN_COMMANDS = NEVER | {
    "arq",
    "cryptography",
    "fastapi",
    "httpx",
    "pydantic_settings",
    "redis",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}

LOADED = """
import json, runpy, sys
sys.argv[0] = "waystation"
try:
    {what}
except SystemExit:
    pass
packages = {{name.partition(".")[0] for name, module in sys.modules.items() if module is not None}}
print(json.dumps([sorted(packages), len(sys.modules)]), file=sys.stderr)
"""
COMMAND = 'runpy.run_module("app.cli", run_name="__main__")'


def loaded(what: str, *arguments: str) -> tuple[set[str], int]:
    """The packages that a new process has loaded once it has done `what`, and the number of its modules."""
    # nobody listens on port 1: the command is over as soon as it has loaded everything and turns to the database
    settings = {"WAYSTATION_DATABASE_URL": "postgresql://owner@127.0.0.1:1/none", "WAYSTATION_SECRET_KEY": "s" * 32}
    command = [sys.executable, "-c", LOADED.format(what=what), *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=90)
    packages, modules = json.loads(done.stderr.splitlines()[-1])
    return set(packages), modules


def test_help_loads_little() -> None:
    packages, modules = loaded(COMMAND, "--help")
    assert "typer" in packages
    assert packages & (NOT_IN_COMMANDS | {"asyncpg", "pydantic", "structlog"}) == set()
    assert modules < 350


@pytest.mark.parametrize(
    "command",
    [
        "tenant list",
        "key list",
        "key create x",
        "credits grant x 1 --reference r",
        "model list",
        "operator list",
        "verify",
    ],
)
def test_a_command_loads_what_it_needs_of_the_database(command: str) -> None:
    packages, modules = loaded(COMMAND, *command.split())
    assert "asyncpg" in packages, "it has got as far as the database"
    assert packages & NOT_IN_COMMANDS == set()
    assert modules < 600


@pytest.mark.parametrize("module", ["app.main", "app.worker", "app.simulator.surface.serve"])
def test_processes_load_nothing_that_they_do_not_use(module: str) -> None:
    packages, _ = loaded(f"import {module}")
    assert "app" in packages
    assert packages & NEVER == set()
    assert ("sqlalchemy" in packages) == (module == "app.main"), "for lists, and nothing else"


def test_only_tables_migrations_and_lists_know_sqlalchemy() -> None:
    knowing = {
        source.path
        for source in sources("app")
        if any(name.partition(".")[0] in ("alembic", "sqlalchemy") for name in source.imports())
    }
    others = {path for path in knowing if not path.endswith(("tables.py", "/listing.py"))}
    assert others == {"app/core/database/migrate.py", "app/core/database/select.py"}
    assert len(knowing) > 5
