"""Parse the URL of Redis, with redis-py as its last check. The forms are:

redis://host:6379/0                                     one server; rediss:// with TLS, unix:///path for a socket
redis://one:6379,redis://two:6379                       several servers; the one that accepts writes is used
redis+sentinel://one:26379,two:26379/mymaster/0         Sentinels, and their name of the master; rediss+sentinel:// with TLS
"""

import difflib
import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from app.core.addresses import PORT_MAX

EXPECTED: Final = (
    "expected a URL such as redis://host:6379/0, rediss://… for TLS, unix:///path/to/socket, a comma list of URLs, or"
    " redis+sentinel://host:26379/mymaster"
)
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
"""redis-py gives other parameters to its classes as text, which only some of them can parse."""
_CONNECTIONS_MIN: Final = 8
"""One connection always listens, and several send at the same time."""
_LIST_EXPECTED: Final = (
    "expected a comma list of URLs that differ in host and port alone, such as redis://one:6379/0,redis://two:6379/0"
)
_SENTINEL_EXPECTED: Final = (
    "expected hosts and the name of the master, such as redis+sentinel://one:26379,two:26379/mymaster/0"
)
_SENTINEL: Final = "+sentinel"
_SENTINEL_PORT: Final = 26379
_OF_SENTINEL: Final = {"sentinel_username": "username", "sentinel_password": "password"}
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@,/]+)(?::(?P<port>[0-9]{1,5}))?")
_ABOVE_ZERO: Final = ("socket_timeout", "socket_connect_timeout")


@dataclass(frozen=True, slots=True)
class SentinelGroup:
    """The Sentinels' name of the master, and the login for the Sentinels."""

    name: str
    login: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A parsed URL. `plain`: the URL for one server, as redis-py reads it. `servers`: hosts and ports of several servers, or
    of the Sentinels if `sentinel` is given; else empty."""

    plain: str = field(repr=False)
    servers: tuple[tuple[str, int], ...] = ()
    sentinel: SentinelGroup | None = None


def parse_redis_url(url: str) -> RedisAddress:
    """Parse a URL. Raises ValueError if it has none of the forms. Only redis-py can check `plain`."""
    if url.startswith((f"redis{_SENTINEL}://", f"rediss{_SENTINEL}://")):
        return _parse_sentinel(url)
    urls = re.split(r",(?=rediss?://)", url)
    if not all(url.startswith(("redis://", "rediss://", "unix://")) for url in urls):
        raise ValueError(EXPECTED)
    if len(urls) == 1:
        if "," in _split(url).netloc.rpartition("@")[2]:
            raise ValueError(_LIST_EXPECTED)
        return RedisAddress(url)
    parts = [_split(url) for url in urls]
    if len({part._replace(netloc=part.netloc.rpartition("@")[0]) for part in parts}) > 1:
        raise ValueError(_LIST_EXPECTED)
    return RedisAddress(urls[0], tuple(_host(part.netloc.rpartition("@")[2], 6379, _LIST_EXPECTED) for part in parts))


def _parse_sentinel(url: str) -> RedisAddress:
    parts = _split(url)
    login, at, hosts = parts.netloc.rpartition("@")
    name, _, database = parts.path.removeprefix("/").partition("/")
    if not name:
        raise ValueError(_SENTINEL_EXPECTED)
    servers = tuple(_host(one, _SENTINEL_PORT, _SENTINEL_EXPECTED) for one in hosts.split(","))
    given = parse_qsl(parts.query, keep_blank_values=True)
    plain = parts._replace(
        scheme=parts.scheme.removesuffix(_SENTINEL),
        netloc=f"{login}{at}localhost",
        path=f"/{database}",
        query=urlencode([(key, value) for key, value in given if key not in _OF_SENTINEL]),
    )
    of_sentinel = {_OF_SENTINEL[key]: value for key, value in given if key in _OF_SENTINEL}
    return RedisAddress(urlunsplit(plain), servers, SentinelGroup(name, of_sentinel))


def _split(url: str) -> SplitResult:
    """Like `urlsplit`, also for several hosts. Newer versions accept brackets only around a single IPv6 address."""
    scheme, slashes, rest = url.partition("://")
    netloc = re.split("[/?#]", rest, maxsplit=1)[0]
    several = "," in netloc
    try:
        parts = urlsplit(f"{scheme}{slashes}{rest[len(netloc) :]}" if several else url)
    except ValueError:
        raise ValueError(EXPECTED) from None
    return parts._replace(netloc=netloc) if several else parts


def _host(text: str, port: int, expected: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError(expected)
    port = port if found["port"] is None else int(found["port"])
    if not 0 < port <= PORT_MAX:
        raise ValueError(f"{expected}; expected a port from 1 to {PORT_MAX}")
    return found["host"].strip("[]"), port


def checked_redis_url(url: str) -> str:
    """Return the URL. Raises ValueError if redis-py cannot make a connection from it. It does not connect.

    No error quotes the URL, or a part of it that may be a password.
    """
    plain = parse_redis_url(url).plain
    _check_names(plain)
    # imported here, so that commands without Redis start faster
    from redis.exceptions import RedisError

    from app.core.redis.redis_pool import open_pool

    try:
        pool = open_pool(url)
        connection = pool.make_connection()  # type: ignore[no-untyped-call]
        if (context := getattr(connection, "ssl_context", None)) is not None:
            context.get()  # reads the certificates
    except OSError as error:
        raise ValueError(f"a certificate or key file cannot be read: {error.strerror or 'not a valid one'}") from None
    except (RedisError, TypeError, ValueError) as error:
        raise ValueError(f"{EXPECTED}{_reason(error)}") from None
    _check(plain, {**pool.connection_kwargs, "max_connections": pool.max_connections})
    return url


def _check_names(url: str) -> None:
    """Raise ValueError for a parameter without effect, or that redis-py cannot parse in a URL."""
    parts = _split(url)
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
    """Raise ValueError for values that redis-py accepts but that work with no server."""
    parts = urlsplit(url)
    if parts.port == 0:
        raise ValueError(f"{EXPECTED}; expected a port from 1 to {PORT_MAX}")
    path = parts.path.lstrip("/")
    if path and not path.isdigit() and parts.scheme != "unix":
        raise ValueError(f"{EXPECTED}; expected the number of a database after the port")
    if options.get("decode_responses"):
        raise ValueError("decode_responses: expected to be absent: answers are read as bytes")
    if int(options.get("max_connections", _CONNECTIONS_MIN)) < _CONNECTIONS_MIN:
        raise ValueError(f"max_connections: expected {_CONNECTIONS_MIN} or more, such as max_connections=32")
    for name in _ABOVE_ZERO:
        if (value := options.get(name)) is not None and value <= 0:
            raise ValueError(f"{name}: expected a number above 0")


def _reason(error: Exception) -> str:
    """Return what is wrong with the URL, without quoting a value."""
    text = str(error)
    if text.startswith("Port "):
        return (
            f"; expected a port from 1 to {PORT_MAX}, and `@ : / ? #` in the password percent-encoded (`%40` for `@`)"
        )
    if text.startswith("Invalid value for "):
        return f"; the value of {text.split(maxsplit=4)[3]} has the wrong type"
    return f"; {text}" if text.startswith(("Invalid SSL ", "protocol must")) else ""
