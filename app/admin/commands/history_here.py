"""The upstream's request history, as a command on this machine reaches it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.core.commands.local import find_upstream
from app.core.config.setting_files import SettingsError
from app.upstream.history import HistoryClient


@asynccontextmanager
async def history_here(data_dir: Path) -> AsyncIterator[HistoryClient | None]:
    """A client for the history; None if none is configured."""
    try:
        access = find_upstream(data_dir)
    except SettingsError:
        access = None
    if access is None or not access.history_url:
        yield None
        return
    history = HistoryClient(url=access.history_url, api_key=access.api_key, proxy=access.proxy)
    try:
        yield history
    finally:
        await history.close()
