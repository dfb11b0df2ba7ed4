"""`waystation backup create` and `waystation backup check`."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, echo, found, say, say_all, silent
from app.core.database.sql import SqlFolder

if TYPE_CHECKING:
    from app.core.database.db import Database
    from app.ops.verify import Proof
    from app.stack.backups.dumps import Dump

DIRECTORY = "backups"
backups = typer.Typer(no_args_is_help=True, help="Write a dump of the database, and check that it can be restored.")


class _Held(NamedTuple):
    """The row of `find_last_written.sql`."""

    jobs: int
    last_event_at: datetime | None
    at: datetime | None


_HELD = SqlFolder(__file__).query("find_last_written", _Held)


@backups.command()
def create(
    to: Annotated[
        Path | None, typer.Option("--to", help="Directory to write to. Default: backups in --data-dir.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Write a dump of the database, with pg_dump. It contains everything but SECRET_KEY; copy it to another machine.

    A dump is a snapshot: jobs accepted after it are lost with the database. Archive the WAL as well if you can.
    """
    from app.core.commands.local import find_database_url
    from app.stack.backups.dumps import create_dump
    from app.stack.processes.signals import interruptible

    url = find_database_url(data_dir)
    dump = asyncio.run(interruptible(create_dump(url, to or data_dir / DIRECTORY), hurry=lambda: None))
    if dump is None:
        raise typer.Abort
    say(f"written: {dump.path}, {_size(dump.bytes)}", value=_of_dump(dump), as_json=as_json)


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore. `secrets`: how many encrypted secrets were decrypted; None if there was no key."""

    seconds: float
    revision: str | None
    jobs: int
    last_event_at: datetime | None
    secrets: int | None
    locked: str | None
    proofs: "tuple[Proof, ...]"


@backups.command()
def check(
    dump: Annotated[
        Path | None,
        typer.Argument(help="A dump, or a directory, whose newest dump is used. Default: backups in --data-dir."),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Restore the last dump into an empty server and run `verify` there; exits 0 only if all invariants hold.

    Reads every format of pg_dump. The gateway's own database is not touched. The copy needs as much space in
    TMPDIR as the database, and is removed.
    """
    from app.core.escapes import one_line
    from app.ops.verify import as_value, summary, wrong_of
    from app.stack.backups.dumps import find_dump
    from app.stack.processes.signals import interruptible

    keys = _find_keys(data_dir)
    last = find_dump(dump or data_dir / DIRECTORY)
    told = f"restoring {last.path}: {_size(last.bytes)}, written {last.written_at:%Y-%m-%d %H:%M:%S} UTC"
    echo(one_line(told), to_stderr=True)
    restored = asyncio.run(interruptible(_check(last, keys, as_json), hurry=lambda: None))
    if restored is None:
        raise typer.Abort
    wrong = ["secrets"] if restored.locked else []
    wrong += wrong_of(restored.proofs)
    verdict = (
        f"the dump is not usable: {', '.join(wrong)}" if wrong else "the dump can be restored, and all invariants hold"
    )
    say_all(
        f"{found(*_of_secrets(restored))}\n{summary(restored.proofs)}\n{verdict}",
        value={
            "good": not wrong,
            "dump": _of_dump(last),
            "restored": {
                "seconds": round(restored.seconds, 3),
                "revision": restored.revision,
                "jobs": restored.jobs,
                "last_event_at": restored.last_event_at,
            },
            "secrets": {"opened": restored.secrets, "wrong": restored.locked},
            **as_value(restored.proofs),
        },
        as_json=as_json,
    )
    raise typer.Exit(1 if wrong else 0)


async def _check(dump: "Dump", keys: tuple[bytes, ...], as_json: bool) -> Restored:
    from app.core.clock import monotonic
    from app.core.database.db import Database
    from app.core.database.migrate import migrate
    from app.ops.verify import STATEMENT_SECONDS, prove_all
    from app.stack.backups.restoring import restore
    from app.stack.servers.empty_server import empty_server

    tell = silent if as_json else echo
    async with empty_server() as (programs, url):
        began_at = monotonic()
        await restore(dump, programs, url)
        seconds = monotonic() - began_at
        schema = await asyncio.to_thread(migrate, url)
        database = await Database.open(
            url, name="backup", writers_max=1, readers_max=1, statement_seconds=STATEMENT_SECONDS
        )
        try:
            async with database.snapshot() as session:
                held = await session.get_row(_HELD)
                last = f"{held.last_event_at:%Y-%m-%d %H:%M:%S} UTC" if held.last_event_at else "never"
                said = f"{held.jobs:,} jobs in {seconds:.1f} s, the last written to {last}; schema {schema.version}"
                tell(found("ok", "restored", said))
                proofs = await prove_all(session, tell=tell, at=held.at)
            opened, locked = await _open_secrets(database, keys)
        finally:
            await database.close()
    return Restored(seconds, schema.version, held.jobs, held.last_event_at, opened, locked, proofs)


def _find_keys(data_dir: Path) -> tuple[bytes, ...]:
    """Return the keys of SECRET_KEY; none if unset. Raises SettingsError if invalid."""
    from app.core.commands.local import find_secrets
    from app.core.config.setting_files import SettingMissing

    try:
        return find_secrets(data_dir)
    except SettingMissing:
        return ()


async def _open_secrets(database: "Database", keys: tuple[bytes, ...]) -> tuple[int | None, str | None]:
    """Encrypt the copy's secrets anew. Return how many the keys decrypted, and the first that they did not."""
    from app.admin.commands.secret_commands import reencrypt_all
    from app.core.database.vault import SecretUnreadable

    if not keys:
        return None, None
    try:
        done = await reencrypt_all(database, keys)
    except SecretUnreadable as error:
        return None, str(error)
    return done.secrets + done.originals, None


def _of_secrets(restored: Restored) -> tuple[str, str, str]:
    if restored.locked is not None:
        return "WRONG", "secrets", f"no key of WAYSTATION_SECRET_KEY decrypts {restored.locked}"
    if restored.secrets is None:
        return "-", "secrets", "not checked: WAYSTATION_SECRET_KEY is not set; without it webhooks cannot be signed"
    return "ok", "secrets", f"WAYSTATION_SECRET_KEY decrypts {restored.secrets:,} secrets"


def _of_dump(dump: "Dump") -> dict[str, Any]:
    return {"path": str(dump.path), "form": dump.form, "bytes": dump.bytes, "written_at": dump.written_at}


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"
