"""Parse the database's URL, in the same way for pools, migrations and commands.

asyncpg parses it. A parameter that only libpq supports is dropped if it changes nothing, and refused if asyncpg would not
do what it requests. What the URL leaves out has a default here, except user, password and database. Other variables of
libpq, such as `PGSSLMODE` or `PGPORT`, have no effect in the gateway's processes.

Parameters: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import configparser
import inspect
import os
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg
from asyncpg import connect_utils

from app.core.addresses import PORT_MAX
from app.core.near import did_you_mean

EXAMPLE: Final = "postgresql://user@host:5432/database"
EXPECTED: Final = f"expected a URL such as {EXAMPLE}"
CONNECT_SECONDS: Final = 5.0
"""How long one attempt to connect may take, unless `connect_timeout` is given."""

_READ_BY_ASYNCPG: Final = frozenset(
    [
        "host",
        "port",
        "dbname",
        "database",
        "user",
        "password",
        "passfile",
        "service",
        "krbsrvname",
        "gsslib",
        "sslcert",
        "sslkey",
        "sslrootcert",
        "sslcrl",
        "sslpassword",
        "sslnegotiation",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
    ]
)
_SENT_TO_THE_SERVER: Final = frozenset(("application_name", "options"))
_WITHOUT_EFFECT: Final[dict[str, frozenset[str] | None]] = {
    "fallback_application_name": None,
    "keepalives": None,
    "keepalives_idle": None,
    "keepalives_interval": None,
    "keepalives_count": None,
    "tcp_user_timeout": None,
    "sslcompression": frozenset(("0",)),
    "sslsni": frozenset(("1",)),
    "gssencmode": frozenset(("disable", "prefer")),
    "gssdelegation": frozenset(("0",)),
    "channel_binding": frozenset(("disable", "prefer")),
    "load_balance_hosts": frozenset(("disable",)),
    "replication": frozenset(("false", "off", "no", "0")),
    "client_encoding": frozenset(("utf8", "UTF8", "utf-8", "UTF-8", "auto")),
}
"""Dropped with these values (None: with any). Other values would request what asyncpg does not do."""
_MAY_NOT_WRITE: Final = ("standby", "prefer-standby", "read-only")
_OURS: Final = frozenset(("connect_timeout", "sslmode", "target_session_attrs", "statement_cache_size"))
_READ_VARIABLES: Final = frozenset(("PGUSER", "PGPASSWORD", "PGPASSFILE", "PGDATABASE", "PGSERVICEFILE"))
"""Variables of libpq that asyncpg reads and that the module `environment` does not remove."""
_DEFAULT_HOSTS: Final = "/run/postgresql,/var/run/postgresql,/tmp,/private/tmp,localhost"
"""Where asyncpg looks for a server if the URL names none. libpq's default depends on its build."""
_NAMES: Final = sorted(_READ_BY_ASYNCPG | _SENT_TO_THE_SERVER | set(_WITHOUT_EFFECT) | _OURS)


def connect_arguments(url: str) -> dict[str, Any]:
    """Return the arguments for `asyncpg.connect` and `create_pool`. Raises ValueError that says what is expected.

    No error quotes the URL, or a part of it that may be a password.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError(EXPECTED)
    parts = urlsplit(url)
    try:
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError(f"{EXPECTED}?name=value&name=value, each parameter with its value") from None
    arguments: dict[str, Any] = {
        "timeout": _whole_number(given, "connect_timeout") or CONNECT_SECONDS,
        "ssl": given.pop("sslmode", "prefer"),
        "target_session_attrs": given.pop("target_session_attrs", "any"),
    }
    if arguments["target_session_attrs"] == "read-write":
        # asyncpg checks the session's default_transaction_read_only, which our read connections turn on: it would refuse
        # all of them
        arguments["target_session_attrs"] = "primary"
    if given.get("sslrootcert") == "system":
        arguments["ssl"] = _certified_by_the_system(given, sslmode=arguments["ssl"])
    if "service" in given:
        _check_service(given["service"])
    if (size := _whole_number(given, "statement_cache_size")) is not None:
        arguments["statement_cache_size"] = size
    kept = {name: value for name, value in given.items() if _is_kept(name, value)}
    arguments["dsn"] = urlunsplit(parts._replace(query=urlencode(kept)))
    _check(arguments)
    return arguments


def checked_database_url(url: str) -> str:
    """Return the URL. Raises ValueError if it is not a valid URL of a database that accepts writes."""
    if (wanted := connect_arguments(url)["target_session_attrs"]) in _MAY_NOT_WRITE:
        raise ValueError(
            f"target_session_attrs: expected any, primary or read-write, not {wanted}: all processes write"
        )
    return url


def for_programs(url: str) -> tuple[str, str]:
    """Return the URL for Postgres' programs, such as pg_dump, and the password separately, since every user of this machine
    can read command lines. The programs reach the same server as `connect_arguments`, with the same timeout."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    password = unquote(password)
    kept: dict[str, str] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key == "password":
            password = value
        elif key == "database":  # asyncpg's own name for it
            kept["dbname"] = value
        elif key != "statement_cache_size":
            kept[key] = value
    if not host.partition(":")[0] and not {"host", "service"} & set(kept):
        kept["host"] = _DEFAULT_HOSTS
    if not int(kept.get("connect_timeout", 0)):
        kept["connect_timeout"] = f"{CONNECT_SECONDS:.0f}"
    query = urlencode(kept, quote_via=quote)
    # urlunsplit leaves out the slashes if the host is in a parameter, but libpq needs them
    return f"{parts.scheme}://{name}{at}{host}{parts.path}?{query}", password


def variables_for_programs() -> dict[str, str]:
    """Return this process's environment without the variables of libpq that the gateway ignores."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG") or name in _READ_VARIABLES}


def _certified_by_the_system(given: dict[str, str], *, sslmode: str) -> ssl.SSLContext:
    """Handle libpq's `sslrootcert=system`, which asyncpg would read as a file name."""
    if sslmode != "verify-full":
        raise ValueError("sslrootcert=system: expected together with sslmode=verify-full")
    if others := sorted(
        name for name in given if name.startswith("ssl") and name not in ("sslrootcert", "sslnegotiation", "sslsni")
    ):
        raise ValueError(f"{others[0]}: expected to be absent with sslrootcert=system")
    del given["sslrootcert"]
    return ssl.create_default_context()


def _check_service(name: str) -> None:
    """Raise ValueError if the service does not exist. asyncpg would ignore that and connect to a default server."""
    path = Path(os.environ.get("PGSERVICEFILE") or Path.home() / ".pg_service.conf")
    services = configparser.ConfigParser(interpolation=None)
    try:
        services.read(path, encoding="utf-8")
    except configparser.Error:
        raise ValueError(f"service: {path} cannot be read: expected sections such as [main], and name=value") from None
    if name not in services:
        raise ValueError(f"service: expected the name of a section in {path} (PGSERVICEFILE)")


def _whole_number(given: dict[str, str], name: str) -> int | None:
    text = given.pop(name, None)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise ValueError(f"{name}: expected a whole number, such as {name}=10")
    return int(text)


def _is_kept(name: str, value: str) -> bool:
    """Return whether the parameter is passed to asyncpg. Raises ValueError if it is unknown or not supported."""
    if name in _READ_BY_ASYNCPG or name in _SENT_TO_THE_SERVER:
        if not value:
            raise ValueError(f"{name}: expected a value")
        return True
    if name not in _WITHOUT_EFFECT:
        hint = did_you_mean(name, _NAMES)
        raise ValueError(f"{name[:50]}: expected a parameter that this program supports, such as sslmode{hint}")
    harmless = _WITHOUT_EFFECT[name]
    if harmless is not None and value not in harmless:
        raise ValueError(
            f"{name}: expected {' or '.join(sorted(harmless))}, or nothing: the driver supports no other value"
        )
    return False


def _check(arguments: dict[str, Any]) -> None:
    """Let asyncpg parse the arguments. Raises ValueError. asyncpg has no public way to parse without connecting."""
    parse = connect_utils._parse_connect_dsn_and_args  # type: ignore[attr-defined]
    known = dict.fromkeys(inspect.signature(parse).parameters)
    given = {name: value for name, value in arguments.items() if name in known}
    try:
        addresses, _parameters = parse(**{**known, **given})
    except asyncpg.ClientConfigurationError as error:  # its message quotes nothing secret
        raise ValueError(f"{error}".replace("`", "").rstrip(".")) from None
    except OSError as error:
        raise ValueError(f"a certificate, key or password file cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise ValueError(
            f"{EXPECTED}: the port must be a number, and `@ : / ? #` in user or password percent-encoded (`%40` for `@`)"
        ) from None
    for address in addresses:
        if isinstance(address, tuple) and not 0 < address[1] <= PORT_MAX:
            raise ValueError(f"{EXPECTED}: expected a port from 1 to {PORT_MAX}")
