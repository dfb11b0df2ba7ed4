"""`waystation reencrypt`."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from app.core.database.db import Database

STATEMENT_SECONDS = 1800.0
"""The first batch may have to read all results to find those with an original error."""


@dataclass(frozen=True, slots=True)
class Reencrypted:
    """The numbers of webhook secrets and original errors, and how many of them were encrypted with another key."""

    secrets: int
    moved: int
    originals: int
    moved_originals: int


def register(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(reencrypt)


def reencrypt(as_json: AsJson = False, data_dir: DataDir = DATA_DIR) -> None:
    """Encrypt all secrets in the database, webhook secrets and original errors, with the first key of SECRET_KEY; the other
    keys may then be removed from it.

    API keys are hashed, not encrypted: one made under a key that is removed is no longer valid. If the command is
    interrupted, run it again: it continues where it stopped.
    """
    from app.core.commands.local import find_secrets, opened
    from app.core.config.setting_files import SettingsError
    from app.core.database.vault import SecretUnreadable

    async def run() -> Reencrypted:
        keys = find_secrets(data_dir)
        async with opened(data_dir, statement_seconds=STATEMENT_SECONDS) as database:
            return await reencrypt_all(database, keys)

    try:
        done = asyncio.run(run())
    except SecretUnreadable as error:
        raise SettingsError(f"WAYSTATION_SECRET_KEY: none of its keys decrypts {error}, which is unchanged") from None
    say(
        f"encrypted with the first key: {done.secrets} webhook secrets, {done.moved} of them now;"
        f" {done.originals} original errors, {done.moved_originals} of them now",
        value={
            "secrets": done.secrets,
            "moved": done.moved,
            "original_errors": done.originals,
            "moved_original_errors": done.moved_originals,
        },
        as_json=as_json,
    )


async def reencrypt_all(database: "Database", keys: "Sequence[bytes]") -> Reencrypted:
    """Encrypt all stored secrets with the first of `keys`. Raises SecretUnreadable if no key decrypts one."""
    return Reencrypted(*await _secrets(database, keys), *await _originals(database, keys))


async def _secrets(database: "Database", keys: "Sequence[bytes]") -> tuple[int, int]:
    from app.webhooks.operations import reencrypt_secrets
    from app.webhooks.secrets import Vault

    async with database.transaction() as session:
        return await reencrypt_secrets(session, vault=Vault(keys))


async def _originals(database: "Database", keys: "Sequence[bytes]") -> tuple[int, int]:
    from app.jobs.admin.originals import NO_JOB, OriginalsVault, reencrypt_originals

    vault = OriginalsVault(keys)
    number = moved = 0
    after: UUID | None = NO_JOB
    while after is not None:
        async with database.transaction() as session:
            found, newly, after = await reencrypt_originals(session, vault=vault, after=after)
        number, moved = number + found, moved + newly
    return number, moved
