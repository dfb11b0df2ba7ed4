"""The client for the upstream's request history, as a process is configured."""

from app.core.config.settings import Settings
from app.upstream.history import HistoryClient


def history_of(settings: Settings) -> HistoryClient | None:
    """Return a client for the history, or None if it is turned off. The caller closes it."""
    if not settings.history_url:
        return None
    key = settings.upstream_api_key.get_secret_value()
    return HistoryClient(url=settings.history_url, api_key=key, proxy=settings.upstream_proxy)
