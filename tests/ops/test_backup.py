"""`waystation backup`: dumps in each form of pg_dump come back into an empty server, and what is wrong in them is found."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from app.core.clock import now
from app.core.ids import show_id
from app.ops.verify import INVARIANTS
from app.stack.servers.binaries import find_postgres
from app.webhooks.operations import ensure_secret
from app.webhooks.secrets import Vault
from tests.command import COLD, ROOT, environment, run
from tests.factories.callers import Caller
from tests.factories.jobs import Engine
from tests.ops.stopping import stop_while_it_runs

SECRET = "s" * 32
FORMS = ["custom", "directory", "tar", "plain"]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command makes its server; it must leave nothing there."""
    directory = tmp_path / "scratch"
    directory.mkdir(mode=0o755)
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):  # the server of root's tests is not root
        parent.chmod(0o755)
    return directory


async def check(dump: Path, *arguments: str, **settings: str) -> tuple[int, str, str]:
    """Exit code, and the last lines of both streams."""
    done = await asyncio.to_thread(run, "backup", "check", *arguments, "--", str(dump), **settings)
    return done.returncode, *((text.splitlines() or [""])[-1] for text in (done.stdout, done.stderr))


def dumped(url: str, path: Path, *options: str) -> Path:
    """A dump by pg_dump itself."""
    subprocess.run([find_postgres().bin / "pg_dump", f"--dbname={url}", f"--file={path}", *options], check=True)
    return path


@pytest.mark.parametrize("form", FORMS)
async def test_each_form_comes_back(
    url: str, story: dict[str, str], owner: asyncpg.Connection, scratch: Path, tmp_path: Path, form: str
) -> None:
    role = f'Odd "role" {uuid4().hex}'
    quoted = '"{}"'.format(role.replace('"', '""'))
    await owner.execute(f"CREATE ROLE {quoted}")
    try:
        # of a dashboard of theirs: the new server does not have that role
        await owner.execute(f"CREATE TABLE theirs (id integer); GRANT SELECT ON theirs TO {quoted}")
        dump = await asyncio.to_thread(dumped, url, tmp_path / "dump", f"--format={form}")
    finally:
        await owner.execute(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")
    done = await asyncio.to_thread(run, "backup", "check", str(dump), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["good"], told["holds"], told["dump"]["form"]) == (True, True, form)
    assert told["restored"]["jobs"] == len(story)
    assert len(told["invariants"]) == len(INVARIANTS)
    assert os.listdir(scratch) == []


async def test_the_last_one_written_is_checked(
    url: str, engine: Engine, caller: Caller, scratch: Path, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": url}
    data_dir = ("--data-dir", str(tmp_path / "data"))
    await engine.submit(caller)
    first = await asyncio.to_thread(run, "backup", "create", *data_dir, "--json", **settings)
    assert first.returncode == 0, first.stderr
    await engine.submit(caller)
    second = await asyncio.to_thread(run, "backup", "create", *data_dir, **settings)
    assert second.returncode == 0, second.stderr
    done = await asyncio.to_thread(run, "backup", "check", *data_dir)
    assert done.returncode == 0, done.stdout
    path = Path(json.loads(first.stdout)["path"])
    assert path.stat().st_mode & 0o777 == 0o600
    newest = max(path.parent.iterdir())
    assert str(newest) in second.stdout
    assert f"restoring {newest}" in done.stderr
    assert "2 jobs in" in done.stdout
    assert done.stdout.splitlines()[-1] == "the dump can be restored, and all invariants hold"


async def test_what_is_wrong_in_it_is_named(
    url: str, story: dict[str, str], owner: asyncpg.Connection, scratch: Path, tmp_path: Path
) -> None:
    await owner.execute("UPDATE jobs SET revision = 99 WHERE state = 'queued'")
    dump = await asyncio.to_thread(dumped, url, tmp_path / "dump", "--format=custom")
    done = await asyncio.to_thread(run, "backup", "check", str(dump))
    assert done.returncode == 1
    assert f"1 wrong: {story['queued']}" in done.stdout
    assert done.stdout.splitlines()[-1] == "the dump is not usable: last"


async def test_work_that_was_under_way_is_judged_as_of_the_dump(
    url: str, engine: Engine, caller: Caller, owner: asyncpg.Connection, scratch: Path, tmp_path: Path
) -> None:
    [sending] = await engine.sending(caller)
    past = now() - timedelta(days=3)
    # all of it three days ago
    async with owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")
        await owner.execute("UPDATE jobs SET lease_until = $1 WHERE id = $2", past + timedelta(seconds=15), sending)
        await owner.execute("UPDATE job_events SET at = $1", past)
        await owner.execute("UPDATE processes SET beat_at = $1", past)
    dump = await asyncio.to_thread(dumped, url, tmp_path / "dump", "--format=custom")
    live = await asyncio.to_thread(run, "verify", DATABASE_URL=url)
    assert show_id("job", sending) in live.stdout, "its lease has been over for three days"
    done = await asyncio.to_thread(run, "backup", "check", str(dump))
    assert done.returncode == 0, done.stdout


async def test_secrets_must_be_opened_by_the_key(
    url: str, engine: Engine, caller: Caller, scratch: Path, tmp_path: Path
) -> None:
    async with engine.database.transaction() as session:
        await ensure_secret(session, vault=Vault([SECRET.encode()]), tenant_id=caller.tenant.id)
    dump = await asyncio.to_thread(dumped, url, tmp_path / "dump", "--format=custom")

    async def secrets(**settings: str) -> tuple[int, str]:
        done = await asyncio.to_thread(run, "backup", "check", str(dump), "--data-dir", str(tmp_path), **settings)
        return done.returncode, next(line for line in done.stdout.splitlines() if "secrets" in line)

    assert await secrets(SECRET_KEY=SECRET) == (
        0,
        "ok    secrets       WAYSTATION_SECRET_KEY decrypts 1 secrets",
    )
    code, line = await secrets(SECRET_KEY="another" * 5)
    assert (code, line[:33]) == (1, "WRONG secrets       no key of WAY")
    code, line = await secrets()
    assert (code, line[:32]) == (0, "-     secrets       not checked:")


@pytest.mark.parametrize("form", FORMS)
async def test_half_a_dump_is_no_success(
    url: str, story: dict[str, str], scratch: Path, tmp_path: Path, form: str
) -> None:
    assert story
    dump = await asyncio.to_thread(dumped, url, tmp_path / "dump", f"--format={form}")
    files = dump.glob("*.gz") if form == "directory" else [dump]
    largest = max(files, key=lambda one: one.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    done = await asyncio.to_thread(run, "backup", "check", str(dump))
    assert done.returncode == 1, done.stdout
    assert os.listdir(scratch) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no dump in "),
        (b"", "is not a dump"),
        (b"\x1f\x8b\x08\x00", "is not a dump"),
        (b"--\n-- PostgreSQL database cluster dump\n--\n", "is a dump of a whole cluster"),
        (b"PGDMP\x01\x0e\x00", "pg_restore"),
        (
            b"--\n-- PostgreSQL database dump\n--\nSELECT 1/0;\n-- PostgreSQL database dump complete\n",
            "division by zero",
        ),
        (b"--\n-- PostgreSQL database dump\n--\nSELECT 1;\n", "is incomplete"),
    ],
)
def test_what_is_no_dump_is_told_in_a_line(scratch: Path, tmp_path: Path, content: bytes | None, said: str) -> None:
    directory = tmp_path / "data" / "backups"
    directory.mkdir(parents=True)
    if content is not None:
        (directory / "last").write_bytes(content)
    done = run("backup", "check", "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("waystation: "), done.stderr
    assert said in last
    assert os.listdir(scratch) == []


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    done = run("backup", "check", str(tmp_path / "nowhere"))
    assert (done.returncode, done.stderr) == (
        1,
        f"waystation: no dump: {tmp_path / 'nowhere'} does not exist; `waystation backup create` writes one\n",
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--schema-only"], "has no Waystation tables, or no rows"),
        (["--schema=theirs"], "has no Waystation tables, or no rows"),
        (["--exclude-schema=ops"], "lacks the schema ops"),
        (["--no-privileges"], "lacks privileges"),
        (["--format=plain", "--create"], "creates its own database"),
    ],
)
async def test_what_would_be_good_only_because_it_is_not_all_of_it(
    url: str, owner: asyncpg.Connection, scratch: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    await owner.execute("CREATE SCHEMA theirs")
    dump = await asyncio.to_thread(dumped, url, tmp_path / "dump", "--format=custom", *options)
    code, _, last = await check(dump)
    assert (code, last.startswith("waystation: "), said in last) == (1, True, True), last
    assert os.listdir(scratch) == []


async def test_a_dump_of_both_schemas_by_their_names(url: str, scratch: Path, tmp_path: Path) -> None:
    """It makes `public`, which is there. And its own name is no option."""
    dump = await asyncio.to_thread(
        dumped, url, tmp_path / "-x.dump", "--format=custom", "--schema=public", "--schema=ops"
    )
    code, last, complaint = await check(Path(os.path.relpath(dump, ROOT)))
    assert (code, last) == (0, "the dump can be restored, and all invariants hold"), complaint


async def test_rows_that_read_like_grants(url: str, owner: asyncpg.Connection, scratch: Path, tmp_path: Path) -> None:
    long = "a" * 70
    await owner.execute("CREATE TABLE theirs (line text)")
    for line in ("GRANT all TO none", "GRANT all TO pg_nobody", f"GRANT all TO {long}", f"GRANT all TO {long}b"):
        await owner.execute("INSERT INTO theirs VALUES ($1)", line)
    dump = await asyncio.to_thread(dumped, url, tmp_path / "dump", "--format=plain")
    code, _, complaint = await check(dump)
    assert code == 0, complaint


def test_a_directory_that_was_not_finished_does_not_hide(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "a.dump").write_bytes(b"PGDMP")
    os.utime(tmp_path / "a.dump", (0, 0))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "4711.dat.gz").touch()
    done = run("backup", "check", str(tmp_path))
    assert (done.returncode, f"{tmp_path / 'b'} is incomplete" in done.stderr) == (1, True), done.stderr


async def test_a_key_that_cannot_be_one_is_not_taken_for_none(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"PGDMP")
    code, _, last = await check(tmp_path / "dump", SECRET_KEY="short")
    assert (code, last[:33]) == (1, "waystation: WAYSTATION_SECRET_KEY")


async def test_no_other_disk_is_filled(
    url: str, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = await asyncio.to_thread(dumped, url, tmp_path / "dump", "--format=custom")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    code, _, last = await check(dump)
    assert (code, last.startswith(f"waystation: TMPDIR: {tmp_path / 'nowhere'}")) == (1, True), last


async def test_what_killed_ones_left_behind_goes(url: str, scratch: Path, tmp_path: Path) -> None:
    dump = await asyncio.to_thread(dumped, url, tmp_path / "dump", "--format=custom")
    for name, age in (("dead", 3600), ("works", 3600), ("starts", 0)):
        postgres = scratch / f"waystation-backup-{name}" / "postgres"
        postgres.mkdir(parents=True)
        (postgres / "lock").touch()
        os.utime(postgres.parent, (now().timestamp() - age,) * 2)
    with (scratch / "waystation-backup-works" / "postgres" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, complaint = await check(dump)
    assert code == 0, complaint
    assert sorted(os.listdir(scratch)) == ["waystation-backup-starts", "waystation-backup-works"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_stopped_in_the_middle_it_leaves_nothing(
    url: str, scratch: Path, tmp_path: Path, number: signal.Signals
) -> None:
    dump = await asyncio.to_thread(dumped, url, tmp_path / "dump", "--format=plain")
    text = dump.read_text()
    dump.write_text(text.replace("CREATE INDEX", "SELECT pg_sleep(1000);\nCREATE INDEX", 1))
    process = subprocess.Popen([*COLD, "backup", "check", str(dump)], cwd=ROOT, env=environment({}),
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    complaint, below = await stop_while_it_runs(process, "psql", number)
    assert (process.returncode, complaint.splitlines()[-1]) == (1, "waystation: aborted")
    assert os.listdir(scratch) == []
    assert [child for child in below if child.is_running()] == []
