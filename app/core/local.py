"""How a command finds its database: by the settings, else by what the running stack wrote into its data directory."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from app.core.db import Database
from app.core.settings import SettingsError, split_secrets

STACK_FILE = "stack.json"
CREDENTIALS_FILE = "credentials.json"


def find_database_url(data_dir: Path) -> str:
    """The owner's URL of the database: WAYSTATION_DATABASE_URL, else that of the stack in `data_dir`.

    Raises SettingsError naming both ways.
    """
    url = os.environ.get("WAYSTATION_DATABASE_URL") or _find(data_dir / STACK_FILE, "database_url")
    if url is None:
        raise SettingsError(
            f"no database: set WAYSTATION_DATABASE_URL, or start `waystation up` (there is no {data_dir / STACK_FILE};"
            " --data-dir says where to look)"
        )
    if not _is_database_url(url):
        raise SettingsError("WAYSTATION_DATABASE_URL: expected a URL, postgresql://user:password@host:port/database")
    return url


def find_secrets(data_dir: Path) -> tuple[bytes, ...]:
    """The secret keys, the one that encrypts first: WAYSTATION_SECRET_KEY, else that of the stack in `data_dir`.

    Raises SettingsError naming both ways.
    """
    text = os.environ.get("WAYSTATION_SECRET_KEY") or _find(data_dir / CREDENTIALS_FILE, "secret_key")
    if text is None:
        raise SettingsError(
            "no secret key: set WAYSTATION_SECRET_KEY to that of the api processes, or start `waystation up` (there is"
            f" no {data_dir / CREDENTIALS_FILE}; --data-dir says where to look)"
        )
    try:
        return split_secrets(text)
    except ValueError as error:
        raise SettingsError(f"WAYSTATION_SECRET_KEY: {error}") from None


def _is_database_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("postgresql", "postgres") and parts.port != 0
    except ValueError:
        return False


def _find(path: Path, name: str) -> str | None:
    try:
        value = json.loads(path.read_bytes())[name]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} cannot be read: {type(error).__name__}") from None
    if not isinstance(value, str):
        raise SettingsError(f"{path} cannot be read: {name} is not a string")
    return value


@asynccontextmanager
async def opened(data_dir: Path) -> AsyncIterator[Database]:
    """The database of a command, closed at the end."""
    database = await Database.open(find_database_url(data_dir), name="cli", writers_max=1, readers_max=1)
    try:
        yield database
    finally:
        await database.close()
