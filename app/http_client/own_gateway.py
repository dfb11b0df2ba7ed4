"""httpx as it comes, for commands that talk to our own gateway."""

from app.core.slim_import import without

with without("httpx._main"):
    import httpx

Client = httpx.AsyncClient


def open_client(*, seconds: float) -> Client:
    """To be closed with `aclose`; takes no proxy from the environment."""
    return httpx.AsyncClient(timeout=seconds, trust_env=False)
