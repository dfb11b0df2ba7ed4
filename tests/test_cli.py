"""The command line as people meet it: a process, its exit code, its two streams."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.cli import main
from app.core.database.db import Database
from app.core.errors import Unauthorized
from app.tenants.auth import Keyring
from app.tenants.keys import parse_key
from app.tenants.models import Scope
from tests.command import run, run_cold
from tests.servers import Urls, temporary_database

SECRET_KEY = "c" * 32


def fails(*args: str, code: int = 1, **settings: str) -> str:
    """The one line that a failing command says."""
    done = run(*args, **settings)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    [line] = done.stderr.splitlines()
    return line


Fails = Callable[..., str]


@pytest.fixture
def fails_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fails:
    """As `fails` with code 1, in this process: a second of importing a case is too dear for a table of slips."""

    def call(*args: str, **settings: str) -> str:
        for name in [name for name in os.environ if name.startswith("WAYSTATION_")]:
            monkeypatch.delenv(name)
        for name, value in settings.items():
            monkeypatch.setenv(f"WAYSTATION_{name}", value)
        monkeypatch.setattr(sys, "argv", ["waystation", *args])
        with ThreadPoolExecutor(1) as elsewhere:  # commands run event loops of their own, and this thread has one
            ended = elsewhere.submit(main).exception()
        assert isinstance(ended, SystemExit)
        said = capsys.readouterr()
        assert (ended.code, said.out) == (1, "")
        [line] = said.err.splitlines()
        return line

    return call


@pytest.fixture
def settings(database_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "SECRET_KEY": SECRET_KEY}


def shown(*args: str, **settings: str) -> Any:
    done = run(*args, "--json", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_version_is_told() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"waystation {version('waystation')}\n"


async def test_the_schema_is_made_in_a_locale_without_utf_8(servers: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    async with temporary_database(servers.database) as url:
        done = await asyncio.to_thread(run_cold, "migrate", DATABASE_URL=url)
        assert (done.returncode, done.stderr) == (0, "")


def test_variables_of_libpq_break_nothing(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOST": "nowhere.invalid", "PGPORT": "abc", "PGSERVICE": "nobody", "PGTARGETSESSIONATTRS": "standby",
        "PGSSLMODE": "nonsense", "PGSSLNEGOTIATION": "direct", "PGSSLCERT": "/nonexistent", "PGSSLKEY": "/nonexistent",
        "PGSSLROOTCERT": "/nonexistent", "PGSSLCRL": "/nonexistent", "PGSSLMINPROTOCOLVERSION": "nonsense",
        "PGSSLMAXPROTOCOLVERSION": "nonsense",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for command in (("migrate",), ("tenant", "list")):
        done = run(*command, **settings)
        assert (done.returncode, done.stderr) == (0, "")


def test_help_names_the_commands() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in ("tenant", "key", "migrate"):
        assert command in done.stdout
    assert run().stdout == done.stdout, "without a command it shows its help"


def test_migrate_says_where_the_database_stands(settings: dict[str, str]) -> None:
    done = run("migrate", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the database is at revision ")
    assert done.stdout.split()[-1] == shown("migrate", **settings)["revision"]


def test_tenants(settings: dict[str, str]) -> None:
    name, other = f"t{uuid4().hex}", f"t{uuid4().hex}"
    done = run("tenant", "create", name, **settings)
    assert done.returncode == 0
    [line] = done.stdout.splitlines()
    assert line.startswith(f"tenant {name} (ten_")
    assert line.endswith(" created")

    [tenant] = [each for each in shown("tenant", "list", **settings) if each["name"] == name]
    assert tenant["id"] in line
    renamed = shown("tenant", "set", name, f"name={other}", "suspended=true", **settings)
    assert (renamed["id"], renamed["name"], renamed["suspended"]) == (tenant["id"], other, True)
    listed = run("tenant", "list", **settings).stdout.splitlines()
    assert listed[0].split() == ["ID", "NAME", "CREATED", "SUSPENDED"]
    [row] = [row for row in listed if tenant["id"] in row]
    assert row.split()[1] == other
    assert shown("tenant", "set", tenant["id"], "suspended=false", **settings)["suspended_at"] is None
    assert "already" in fails("tenant", "create", other, **settings)


async def test_a_key_made_here_opens_the_gateway(settings: dict[str, str], database_url: str) -> None:
    name = f"t{uuid4().hex}"
    run("tenant", "create", name, **settings)
    issued = shown("key", "create", name, "--name", "ci", "--scope", "jobs:read", "--expires", "12h", **settings)
    assert parse_key(issued["key"]) is not None
    assert (issued["tenant"], issued["name"], issued["scopes"]) == (name, "ci", ["jobs:read"])
    assert issued["expires_at"]
    plain = run("key", "create", name, **settings).stdout.strip()
    assert parse_key(plain.rsplit(" ", 1)[-1]) is not None

    database = await Database.open(database_url, name="test-cli", writers_max=1, readers_max=1)
    keyring = Keyring(database, secrets=[SECRET_KEY.encode()])
    principal = await keyring.authenticate(x_api_key=issued["key"], authorization=None)
    assert (principal.tenant_name, principal.scopes) == (name, {Scope.JOBS_READ})

    listing = await asyncio.to_thread(run, "key", "list", name, **settings)
    assert issued["id"] in listing.stdout
    assert issued["prefix"] in listing.stdout
    assert issued["key"] not in listing.stdout
    keys = await asyncio.to_thread(shown, "key", "list", name, **settings)
    assert len(keys) == 2
    assert keys[0]["id"] == issued["id"]
    assert keys == [
        each for each in await asyncio.to_thread(shown, "key", "list", **settings) if each["tenant"] == name
    ]
    assert all("key" not in key for key in keys)

    revoked = await asyncio.to_thread(run, "key", "revoke", issued["id"], **settings)
    assert revoked.stdout == f"key {issued['id']} of tenant {name} is revoked\n"
    with pytest.raises(Unauthorized):
        await Keyring(database, secrets=[SECRET_KEY.encode()]).authenticate(x_api_key=issued["key"], authorization=None)
    await database.close()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("tenant", "create", "a b"), "name: expected"),
        (("tenant", "set", "nobody", "suspended=true"), "no such tenant"),
        (("tenant", "set", "nobody", "colour=blue"), "colour: unknown setting"),
        (("tenant", "set", "nobody", "suspended"), "KEY=VALUE"),
        (("tenant", "set", "nobody", "two\nlines=1"), "unknown setting"),
        (("key", "create", "nobody"), "no such tenant"),
        (("key", "create", "nobody", "--scope", "all"), "scopes: unknown scope 'all'"),
        (("key", "create", "nobody", "--expires", "soon"), "expires_at: expected"),
        (("key", "list", "nobody"), "no such tenant"),
        (("key", "revoke", "nothing"), "no such key"),
    ],
)
def test_bad_values_are_told_in_one_line(
    args: tuple[str, ...], said: str, settings: dict[str, str], fails_here: Fails
) -> None:
    line = fails_here(*args, **settings)
    assert line.startswith("waystation: ")
    assert said in line


@pytest.mark.parametrize(
    "args", [("tenant",), ("tenant", "create"), ("nothing",), ("tenant", "list", "--frob"), ("key", "list", "a", "b")]
)
def test_wrong_calls_exit_2_and_point_to_the_help(args: tuple[str, ...]) -> None:
    assert "--help)" in fails(*args, code=2)


def test_without_a_database_both_ways_are_named(tmp_path: Path) -> None:
    line = fails("tenant", "list", "--data-dir", str(tmp_path))
    assert "WAYSTATION_DATABASE_URL" in line
    assert "waystation up" in line
    assert str(tmp_path) in line


@pytest.mark.parametrize("command", [("tenant", "list"), ("migrate",)])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:hush-hush@127.0.0.1:1/x", "does not answer"),
        ("mysql://u:hush-hush@127.0.0.1/x", "WAYSTATION_DATABASE_URL"),
        ("postgresql://u:hush-hush@127.0.0.1:port/x", "WAYSTATION_DATABASE_URL"),
    ],
)
def test_a_database_that_is_not_there(command: tuple[str, ...], url: str, said: str, fails_here: Fails) -> None:
    line = fails_here(*command, DATABASE_URL=url)
    assert said in line
    assert "hush-hush" not in line


def test_a_database_that_does_not_exist(database_url: str, fails_here: Fails) -> None:
    missing = database_url.rsplit("/", 1)[0] + "/missing"
    for command in (("tenant", "list"), ("migrate",)):
        line = fails_here(*command, DATABASE_URL=missing)
        assert 'WAYSTATION_DATABASE_URL: the database refuses: database "missing" does not exist; expected a' in line


def test_the_running_stack_is_found(settings: dict[str, str], tmp_path: Path, fails_here: Fails) -> None:
    there = ("--data-dir", str(tmp_path))
    (tmp_path / "stack.json").write_text(json.dumps({"database_url": settings["DATABASE_URL"]}))
    name = f"t{uuid4().hex}"
    assert shown("tenant", "create", name, *there)["name"] == name
    line = fails_here("key", "create", name, *there)
    assert "WAYSTATION_SECRET_KEY" in line
    assert "waystation up" in line
    (tmp_path / "credentials.json").write_text(json.dumps({"secret_key": "short"}))
    assert "32 characters" in fails_here("key", "create", name, *there)
    (tmp_path / "credentials.json").write_text(json.dumps({"secret_key": SECRET_KEY}))
    assert shown("key", "create", name, *there)["tenant"] == name
    for broken in ("", "[]", "{}", '{"database_url": 7}'):
        (tmp_path / "stack.json").write_text(broken)
        assert "stack.json cannot be read" in fails_here("tenant", "list", *there)
