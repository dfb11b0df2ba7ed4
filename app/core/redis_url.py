"""Redis' URL, read by the library that will use it."""

import difflib
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from app.core.addresses import PORT_MAX

EXPECTED: Final = "expected a URL such as redis://host:6379/0, rediss://… for TLS, or unix:///path/to/socket"
_NAMES: Final = frozenset(
    [
        "db",
        "username",
        "password",
        "protocol",
        "client_name",
        "encoding",
        "encoding_errors",
        "decode_responses",
        "socket_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "retry_on_timeout",
        "max_connections",
        "health_check_interval",
    ]
)
_OF_TLS: Final = frozenset(
    [
        "ssl_keyfile",
        "ssl_certfile",
        "ssl_cert_reqs",
        "ssl_ca_certs",
        "ssl_ca_data",
        "ssl_check_hostname",
        "ssl_ciphers",
    ]
)
"""redis-py hands any other parameter to its classes as text, which only some of them can read."""
_CONNECTIONS_MIN: Final = 8
"""One listens all the time, and several ring at once."""
_ABOVE_ZERO: Final = ("socket_timeout", "socket_connect_timeout")


def checked_redis_url(url: str) -> str:
    """The URL itself; raises ValueError where redis-py cannot make a connection of it. Connects to nothing.

    No error quotes the URL or a part of it that may be a password.
    """
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError(EXPECTED)
    _check_names(url)
    # imported here: commands that need other settings do not wait for it
    from redis.asyncio import ConnectionPool
    from redis.exceptions import RedisError

    try:
        pool = ConnectionPool.from_url(url)
        connection = pool.make_connection()  # type: ignore[no-untyped-call]
        if (context := getattr(connection, "ssl_context", None)) is not None:
            context.get()  # reads the certificates
    except OSError as error:
        raise ValueError(f"a certificate or key file cannot be read: {error.strerror or 'it is none'}") from None
    except (RedisError, TypeError, ValueError) as error:
        raise ValueError(f"{EXPECTED}{_reason(error)}") from None
    _check(url, {**pool.connection_kwargs, "max_connections": pool.max_connections})
    return url


def _check_names(url: str) -> None:
    """Raise ValueError for a parameter that does nothing, or that redis-py cannot read from a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(EXPECTED) from None
    known = _NAMES | _OF_TLS if parts.scheme == "rediss" else _NAMES
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name in known:
            continue
        near = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        if name.startswith("ssl_") and parts.scheme != "rediss":
            hint = "; parameters that begin with ssl_ need rediss://"
        raise ValueError(f"{EXPECTED}; there is no parameter {name[:50]!r} for this kind of URL{hint}")


def _check(url: str, options: dict[str, Any]) -> None:
    """What redis-py takes, and what then works with no server."""
    parts = urlsplit(url)
    if parts.port == 0:
        raise ValueError(f"{EXPECTED}; expected a port from 1 to {PORT_MAX}")
    path = parts.path.lstrip("/")
    if path and not path.isdigit() and parts.scheme != "unix":
        raise ValueError(f"{EXPECTED}; expected the number of a database after the port")
    if options.get("decode_responses"):
        raise ValueError("decode_responses: leave it out: answers are read as bytes")
    if int(options.get("max_connections", _CONNECTIONS_MIN)) < _CONNECTIONS_MIN:
        raise ValueError(f"max_connections: expected {_CONNECTIONS_MIN} or more, such as max_connections=32")
    for name in _ABOVE_ZERO:
        if (value := options.get(name)) is not None and value <= 0:
            raise ValueError(f"{name}: expected a number above 0")


def _reason(error: Exception) -> str:
    """What is wrong with it, as far as that can be told without quoting a value."""
    text = str(error)
    if text.startswith("Port "):
        return (
            f"; expected a port from 1 to {PORT_MAX}, and `@ : / ? #` in the password percent-encoded (`%40` for `@`)"
        )
    if text.startswith("Invalid value for "):
        return f"; the value of {text.split(maxsplit=4)[3]} is not of its kind"
    return f"; {text}" if text.startswith(("Invalid SSL ", "protocol must")) else ""
