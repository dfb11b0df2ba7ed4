"""Find a command's database and servers: from the settings, else from the files that the running stack wrote.

Functions import what only some commands need (pydantic's settings, httpx, redis).
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from app.core.config.setting_files import SettingMissing, SettingsError, find_setting, named
from app.core.database.database_url import checked_database_url
from app.core.database.db import STATEMENT_SECONDS, Database
from app.core.logs.redaction import know, secrets_of_url

if TYPE_CHECKING:
    from app.core.redis.doorbell import Task

STACK_FILE = "stack.json"
CREDENTIALS_FILE = "credentials.json"
_SECRETS = frozenset({"secret_key", "admin_key", "api_key"})
"""Members of these files whose whole value is a secret."""


def find_database_url(data_dir: Path) -> str:
    """Return the database URL of its owner: WAYSTATION_DATABASE_URL, else that of the stack in `data_dir`.

    Raises SettingsError that names both ways.
    """
    url = find_setting("DATABASE_URL") or _find(data_dir / STACK_FILE, "database_url")
    if url is None:
        raise SettingsError(
            f"no database: set WAYSTATION_DATABASE_URL, or start `waystation up` (there is no {data_dir / STACK_FILE};"
            " --data-dir says where to look)"
        )
    return _checked("DATABASE_URL", url, checked_database_url)


def find_redis_url(data_dir: Path) -> str | None:
    """Return WAYSTATION_REDIS_URL, else that of the stack in `data_dir`, else None: Redis only carries notifications.

    Raises SettingsError if the URL is not valid.
    """
    from app.core.redis.redis_url import checked_redis_url

    url = find_setting("REDIS_URL") or _find(data_dir / STACK_FILE, "redis_url")
    return url and _checked("REDIS_URL", url, checked_redis_url)


def find_upstream_url(data_dir: Path) -> str:
    """Return WAYSTATION_UPSTREAM_URL, else that of the stack in `data_dir`, else the default. Raises SettingsError."""
    from app.core.config.settings import UPSTREAM_URL
    from app.core.config.urls import checked_http_url

    url = find_setting("UPSTREAM_URL") or _find(data_dir / STACK_FILE, "upstream_url") or UPSTREAM_URL
    return _checked("UPSTREAM_URL", url, checked_http_url)


def find_upstream_proxy() -> str | None:
    """Return WAYSTATION_UPSTREAM_PROXY, or None. Raises SettingsError."""
    from app.core.config.urls import checked_proxy_url

    url = find_setting("UPSTREAM_PROXY")
    return _checked("UPSTREAM_PROXY", url, checked_proxy_url) if url else None


def _checked(name: str, url: str, check: Callable[[str], str]) -> str:
    """Return the URL from `check`. Raises SettingsError with the setting's name."""
    try:
        return check(url)
    except ValueError as error:
        raise SettingsError(f"{named(name)}: {error}") from None


@dataclass(frozen=True, slots=True)
class UpstreamAccess:
    """How a command reaches the upstream. `history_url` is empty if there is no history."""

    url: str
    history_url: str
    api_key: str = field(repr=False)
    proxy: str | None = field(repr=False)


def find_upstream(data_dir: Path) -> UpstreamAccess:
    """Return the upstream from the settings, else that of the stack in `data_dir`. Raises SettingsError."""
    from app.core.config.settings import UPSTREAM_URL, find_history_url

    url = find_upstream_url(data_dir).rstrip("/")
    key = find_setting("UPSTREAM_API_KEY") or ""
    given = find_setting("UPSTREAM_HISTORY_URL")
    if not key:
        if url != _find(data_dir / STACK_FILE, "upstream_url") or url == UPSTREAM_URL:
            raise SettingsError("WAYSTATION_UPSTREAM_API_KEY: is required to ask the upstream")
        key, given = "simulator", given or url  # the stack's own simulator takes any key
    return UpstreamAccess(url, find_history_url(url, given).rstrip("/"), key, find_upstream_proxy())


def find_history_settle_seconds() -> float:
    """Return WAYSTATION_HISTORY_SETTLE_SECONDS, or its default. Raises SettingsError."""
    from app.core.config.settings import Settings

    default: float = Settings.model_fields["history_settle_seconds"].default
    try:
        seconds = float(find_setting("HISTORY_SETTLE_SECONDS") or default)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise SettingsError(f"{named('HISTORY_SETTLE_SECONDS')}: expected seconds, 0 to 86400")
    return seconds


def find_unknown_max_seconds() -> float:
    """Return WAYSTATION_UNKNOWN_MAX_SECONDS, or its default. Raises SettingsError."""
    from app.core.config.settings import UNKNOWN_SECONDS_MAX, Settings

    default: float = Settings.model_fields["unknown_max_seconds"].default
    try:
        seconds = float(find_setting("UNKNOWN_MAX_SECONDS") or default)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= UNKNOWN_SECONDS_MAX:
        raise SettingsError(
            f"{named('UNKNOWN_MAX_SECONDS')}: expected seconds above 0 and at most {UNKNOWN_SECONDS_MAX}"
        )
    return seconds


def find_gateway(data_dir: Path) -> tuple[str, str] | None:
    """Return URL and tenant's API key of the stack in `data_dir`, or None if none is running."""
    url, api_key = (_find(data_dir / STACK_FILE, name) for name in ("url", "api_key"))
    return None if url is None or api_key is None else (url, api_key)


async def ring(data_dir: Path, *tasks: "Task", ended: Iterable[UUID] = ()) -> None:
    """Notify workers of work, and waiting clients of jobs that ended. Without Redis, sweeps find both."""
    url = find_redis_url(data_dir)
    if url is None:
        return
    from app.core.redis.doorbell import Doorbell

    doorbell = Doorbell(url)
    for task in tasks:
        doorbell.ring(task)
    doorbell.announce(ended)
    await doorbell.close()


def find_secrets(data_dir: Path) -> tuple[bytes, ...]:
    """Return the secret keys: WAYSTATION_SECRET_KEY, else that of the stack in `data_dir`. The first key encrypts.

    Raises SettingMissing that names both ways, and SettingsError if the given value is not valid.
    """
    from app.core.config.settings import split_secrets

    text = find_setting("SECRET_KEY") or _find(data_dir / CREDENTIALS_FILE, "secret_key")
    if text is None:
        raise SettingMissing(
            "no secret key: set WAYSTATION_SECRET_KEY to that of the api processes, or start `waystation up` (there is"
            f" no {data_dir / CREDENTIALS_FILE}; --data-dir says where to look)"
        )
    try:
        return split_secrets(text)
    except ValueError as error:
        raise SettingsError(f"{named('SECRET_KEY')}: {error}") from None


def _find(path: Path, name: str) -> str | None:
    try:
        value = json.loads(path.read_bytes())[name]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} cannot be read: {type(error).__name__}") from None
    if not isinstance(value, str):
        raise SettingsError(f"{path} cannot be read: {name} is not a string")
    know([value] if name in _SECRETS else secrets_of_url(value))
    return value


@asynccontextmanager
async def opened(data_dir: Path, *, statement_seconds: float = STATEMENT_SECONDS) -> AsyncIterator[Database]:
    """Open the database for a command, and close it at the end of the block."""
    database = await Database.open(
        find_database_url(data_dir), name="cli", writers_max=1, readers_max=1, statement_seconds=statement_seconds
    )
    try:
        yield database
    finally:
        await database.close()
