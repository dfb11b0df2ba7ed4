"""Check URLs of HTTP servers with yarl, the library that aiohttp uses."""

from typing import Final

from yarl import URL

from app.core.addresses import PORT_MAX

EXPECTED: Final = "expected a URL such as https://gateway.example.com or http://10.0.0.5:8080/base"
PROXY_EXPECTED: Final = (
    "expected the URL of a proxy such as http://proxy.example.com:3128, perhaps with user:password@ before the host"
)

LATIN_1_MAX: Final = 0xFF


def checked_http_url(value: str) -> str:
    """Check a base URL. Returns it without a trailing slash. Raises ValueError."""
    url = _read(value, EXPECTED)
    if url.raw_user is not None or any(mark in value for mark in "?#@"):
        raise ValueError(f"{EXPECTED}, without a user, a query or a fragment")
    return value.rstrip("/")


def checked_proxy_url(value: str) -> str:
    """Check the URL of an HTTP proxy, perhaps with user and password. Raises ValueError without the value."""
    url = _read(value, PROXY_EXPECTED)
    if url.raw_path not in ("", "/") or any(mark in value for mark in "?#"):
        raise ValueError(f"{PROXY_EXPECTED}, without a path, a query or a fragment")
    user, password = url.user or "", url.password or ""
    if ":" in user or any(ord(character) > LATIN_1_MAX for character in user + password):
        raise ValueError(f"{PROXY_EXPECTED}, a user without a colon, and both in Latin-1")
    return value.rstrip("/")


def _read(value: str, expected: str) -> URL:
    try:
        url = URL(value)
        port = url.explicit_port
    except ValueError:
        raise ValueError(expected) from None
    if url.scheme not in ("http", "https") or not url.raw_host or (port is not None and not 0 < port <= PORT_MAX):
        raise ValueError(expected)
    return url
