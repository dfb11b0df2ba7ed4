"""A plain httpx client for commands that call our own gateway."""

from app.core.slim_import import without

with without("httpx._main"):
    import httpx

Client = httpx.AsyncClient


def open_client(*, seconds: float) -> Client:
    """Return a client that uses no proxy from the environment. Close it with `aclose`."""
    return httpx.AsyncClient(timeout=seconds, trust_env=False)
