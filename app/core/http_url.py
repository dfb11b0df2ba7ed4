"""Base URLs of HTTP, read by the library that will use them."""

from typing import Final

from app.core.addresses import PORT_MAX

EXPECTED: Final = "expected a URL such as https://gateway.example.com or http://10.0.0.5:8080/base"


def checked_http_url(value: str) -> str:
    """A base of URLs: without a trailing slash. Raises ValueError."""
    from app.core.http import URL, InvalidURL  # imported here: commands that need other settings do not wait for it

    try:
        url = URL(value)
        port = url.port
    except (InvalidURL, ValueError):
        raise ValueError(EXPECTED) from None
    if url.scheme not in ("http", "https") or not url.host or (port is not None and not 0 < port <= PORT_MAX):
        raise ValueError(EXPECTED)
    if url.query or url.fragment or url.userinfo or "?" in value or "#" in value:
        raise ValueError(f"{EXPECTED}, without a user, a query or a fragment")
    return value.rstrip("/")
