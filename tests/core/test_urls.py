"""URLs of libpq's, redis-py's and HTTP's own documentation: each is taken, or refused with what was expected."""

import ctypes
import functools
import itertools
import re

import pytest

from app.core.config.settings import SettingsError, load_settings
from app.core.config.urls import checked_http_url, checked_proxy_url
from app.core.database.database_url import connect_arguments, for_programs
from app.core.database.db import Database
from app.core.database.migrate import open_engine
from app.core.redis.redis_url import checked_redis_url
from app.stack.servers.binaries import find_postgres

TAKEN = [
    "postgresql://",
    "postgresql://localhost",
    "postgresql://localhost:5433",
    "postgresql://localhost/mydb",
    "postgresql://user@localhost",
    "postgresql://user:secret@localhost",
    "postgresql://other@localhost/otherdb?connect_timeout=10&application_name=myapp",
    "postgresql://host1:123,host2:456/somedb?target_session_attrs=any&application_name=myapp",
    "postgresql://host1,host2,host3/somedb?target_session_attrs=read-write",
    "postgresql://host1,host2/somedb?target_session_attrs=prefer-standby",
    "postgresql://user@localhost:5433/mydb?options=-c%20geqo%3Doff",
    "postgresql:///mydb?host=localhost&port=5433",
    "postgresql://[2001:db8::1234]/database",
    "postgresql:///dbname?host=/var/lib/postgresql",
    "postgresql://%2Fvar%2Flib%2Fpostgresql/dbname",
    "postgres://user:p%40ss%2Fword@db.example.com:5432/main",
    "postgresql://db.example.com/main?sslmode=disable",
    "postgresql://db.example.com/main?sslmode=allow",
    "postgresql://db.example.com/main?sslmode=prefer",
    "postgresql://db.example.com/main?sslmode=require",
    "postgresql://db.example.com/main?sslmode=require&channel_binding=prefer",
    "postgresql://db.example.com/main?sslnegotiation=direct&sslmode=require",
    "postgresql://db.example.com/main?ssl_min_protocol_version=TLSv1.3&sslmode=require",
    "postgresql://db.example.com/main?keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3",
    "postgresql://db.example.com/main?tcp_user_timeout=10000&gssencmode=disable&sslsni=1",
    "postgresql://db.example.com/main?client_encoding=UTF8&fallback_application_name=x",
    "postgresql://db.example.com/main?statement_cache_size=0",
    "postgresql://db.example.com/main?passfile=/nonexistent/pgpass",
    "postgresql://db.example.com/main?krbsrvname=postgres",
    "postgresql://db.example.com/main?sslmode=verify-full&sslrootcert=system",
    "postgresql://db.example.com?dbname=main&user=me&password=secret",
]
REFUSED = {
    "postgres:/db.example.com/main": "expected a URL such as postgresql://",
    "mysql://db.example.com/main": "expected a URL such as postgresql://",
    "db.example.com/main": "expected a URL such as postgresql://",
    "host=localhost dbname=main": "expected a URL such as postgresql://",
    "postgresql+asyncpg://db.example.com/main": "expected a URL such as postgresql://",
    "postgresql://db.example.com:abc/main": "the port must be a number",
    "postgresql://db.example.com:70000/main": "a port from 1 to 65535",
    "postgresql://db.example.com:0/main": "a port from 1 to 65535",
    "postgresql://user:hush/hush@db.example.com/main": "percent-encoded",
    "postgresql://db.example.com/main?sslmode=always": "sslmode parameter must be one of",
    "postgresql://db.example.com/main?sslmode=verify-full&sslrootcert=/nonexistent/ca.pem": "cannot be read",
    "postgresql://db.example.com/main?sslmode=": "sslmode",
    "postgresql://db.example.com/main?sslmode=require&sslrootcert=system": "expected together with sslmode=verify-full",
    "postgresql://db.example.com/main?sslmode=verify-full&sslrootcert=system&sslcert=/a.pem": "sslcert: expected to be absent",
    "postgresql://?service=nobody": "service: expected the name of a section in ",
    "postgresql://db.example.com/main?sslmod=require": "did you mean sslmode",
    "postgresql://db.example.com/main?channel_binding=require": "channel_binding: expected disable or prefer",
    "postgresql://db.example.com/main?gssencmode=require": "gssencmode: expected disable or prefer",
    "postgresql://db.example.com/main?load_balance_hosts=random": "load_balance_hosts: expected disable",
    "postgresql://db.example.com/main?target_session_attrs=writable": "target_session_attrs",
    "postgresql://db.example.com/main?connect_timeout=soon": "connect_timeout: expected a whole number",
    "postgresql://db.example.com/main?statement_cache_size=none": "statement_cache_size: expected a whole number",
    "postgresql://db.example.com/main?search_path=other": "search_path: expected a parameter that",
    "postgresql://db.example.com/main?application_name": "each parameter with its value",
    "postgresql://one,two:1,three:2:3/main": "expected a URL such as postgresql://",
}


@pytest.mark.parametrize("url", TAKEN)
async def test_a_database_url_that_works_is_read_alike_by_pools_and_migrations(url: str) -> None:
    arguments = connect_arguments(url)
    assert arguments["timeout"] == (10 if "connect_timeout" in url else 5)
    await open_engine(url).dispose()


class _Option(ctypes.Structure):
    """libpq's PQconninfoOption."""

    _fields_ = [
        (name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar")
    ] + [("dispsize", ctypes.c_int)]  # fmt: skip


@functools.cache
def _libpq() -> ctypes.CDLL:
    library = ctypes.CDLL(str(find_postgres().bin.parent / "lib" / "libpq.so.5"))
    library.PQconninfoParse.restype = ctypes.POINTER(_Option)
    library.PQconninfoParse.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)]
    return library


def _read_by_libpq(url: str) -> dict[str, str]:
    """What libpq itself reads in it; ValueError in its words."""
    said = ctypes.c_char_p()
    options = _libpq().PQconninfoParse(url.encode(), ctypes.byref(said))
    if not options:
        raise ValueError((said.value or b"").decode())
    named = itertools.takewhile(lambda option: option.keyword is not None, (options[at] for at in itertools.count()))
    return {option.keyword.decode(): option.val.decode() for option in named if option.val is not None}


@pytest.mark.parametrize("url", [*TAKEN, "postgresql://me:p%2Bq@one,two/main?options=-c%20a%3Db+c&database=other"])
def test_a_database_url_that_works_is_read_by_the_programs_of_postgres(url: str) -> None:
    plain, password = for_programs(url)
    read = _read_by_libpq(plain)
    assert "password" not in read
    written = url.replace("+", "%20")  # the driver takes it for a space, and libpq does not
    try:
        wanted = _read_by_libpq(written)
    except ValueError:  # a word that is asyncpg's own
        wanted = _read_by_libpq(re.sub("[?&](database|statement_cache_size)=[^&]*", "", written))
        wanted |= {"dbname": "other"} if "database=other" in url else {}
    if "service" not in wanted:
        wanted = {"host": "/run/postgresql,/var/run/postgresql,/tmp,/private/tmp,localhost"} | wanted
    if int(wanted.get("connect_timeout", 0)) == 0:
        wanted["connect_timeout"] = "5"
    assert (wanted.pop("password", ""), wanted) == (password, read)


@pytest.mark.parametrize(("url", "expected"), REFUSED.items())
def test_a_database_url_that_cannot_work_is_refused_with_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, url: str, expected: str
) -> None:
    with pytest.raises(ValueError) as refused:
        connect_arguments(url)
    assert expected in str(refused.value)
    assert "hush" not in str(refused.value)
    _complete(monkeypatch, DATABASE_URL=url)
    with pytest.raises(SettingsError, match=r"^WAYSTATION_DATABASE_URL: "):
        load_settings()


@pytest.mark.parametrize("wanted", ["any", "primary", "read-write"])
async def test_reads_and_writes_both_reach_the_server_that_takes_writes(database_url: str, wanted: str) -> None:
    url = f"{database_url.replace('127.0.0.1', '127.0.0.1:1,127.0.0.1', 1)}?target_session_attrs={wanted}"
    database = await Database.open(url, name="test", writers_max=1, readers_max=1)
    try:
        await database.prove()
        async with database.snapshot() as session:
            assert await session.fetchval("SELECT current_setting('transaction_read_only')") == "on"
    finally:
        await database.close()


@pytest.mark.parametrize("wanted", ["standby", "prefer-standby", "read-only"])
def test_a_database_that_need_not_take_writes_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    _complete(monkeypatch, DATABASE_URL=f"postgresql://one,two/main?target_session_attrs={wanted}")
    with pytest.raises(
        SettingsError, match=r"^WAYSTATION_DATABASE_URL: target_session_attrs: expected any, primary or read-write"
    ):
        load_settings()


def test_variables_of_libpq_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    arguments = connect_arguments("postgresql://me@127.0.0.1/main")
    assert (arguments["ssl"], arguments["target_session_attrs"]) == ("prefer", "any")


REDIS_TAKEN = [
    "redis://",
    "redis://localhost",
    "redis://localhost:6379/0",
    "redis://[::1]:6379/0",
    "redis://user:secret@localhost:6380/3",
    "redis://:p%40ss%2Fword@localhost",
    "rediss://cache.example.com:6380/0",
    "rediss://cache.example.com?ssl_cert_reqs=none",
    "rediss://cache.example.com?ssl_cert_reqs=required&ssl_check_hostname=true",
    "unix:///run/redis.sock",
    "unix://user:secret@/run/redis.sock?db=1",
    "redis://localhost?db=2",
    "redis://localhost?socket_timeout=5&socket_connect_timeout=1",
    "redis://localhost?health_check_interval=30&client_name=waystation",
    "redis://localhost?username=me&password=secret",
    "redis://localhost?max_connections=20&protocol=3",
    "redis://one:6379/0,redis://two:6379/0",
    "redis://:p%40ss,word@one,redis://:p%40ss,word@[2001:db8::1]:6380",
    "rediss://u:secret@one/1?ssl_check_hostname=false,rediss://u:secret@two/1?ssl_check_hostname=false",
    "redis+sentinel://one/mymaster",
    "redis+sentinel://:secret@one:26379,two:26380,[2001:db8::1]/mymaster/2?sentinel_password=secret",
    "rediss+sentinel://one,two/mymaster?ssl_check_hostname=false&socket_timeout=1",
]
REDIS_REFUSED = {
    "http://localhost": "expected a URL such as redis://",
    "localhost:6379": "expected a URL such as redis://",
    "redis://localhost?ssl_cert_reqs=none": "need rediss://",
    "redis://127.0.0.1:abc/0": "a port from 1 to 65535",
    "redis://127.0.0.1:99999/0": "a port from 1 to 65535",
    "redis://127.0.0.1:0/0": "a port from 1 to 65535",
    "redis://user:hush/hush@localhost": "percent-encoded",
    "redis://localhost/main": "the number of a database",
    "redis://localhost?db=main": "'db' has the wrong type",
    "redis://localhost?timeout=20": "no parameter 'timeout'",
    "redis://localhost?socket_timeout=soon": "'socket_timeout' has the wrong type",
    "redis://localhost?socket_timeout=-1": "socket_timeout: expected a number above 0",
    "redis://localhost?decode_responses=True": "decode_responses: expected to be absent",
    "redis://localhost?retry=3": "no parameter 'retry'",
    "redis://localhost?retry_on_error=OSError": "did you mean retry_on_timeout",
    "redis://localhost?credential_provider=x": "no parameter 'credential_provider'",
    "redis://localhost?host=elsewhere": "no parameter 'host'",
    "redis://localhost?max_connection=20": "did you mean max_connections",
    "redis://[::1": "expected a URL such as redis://",
    "redis://one:6379/0,redis://two:6379/1": "differ in host and port alone",
    "redis://:hush@one,redis://two": "differ in host and port alone",
    "redis://one,rediss://two": "differ in host and port alone",
    "redis://one:70000,redis://two": "a port from 1 to 65535",
    "redis://one,two": "differ in host and port alone",
    "redis+sentinel://one:26379": "the name of the master",
    "redis+sentinel://one:0/mymaster": "a port from 1 to 65535",
    "redis+sentinel://one,,two/mymaster": "the name of the master",
    "redis+sentinel://:hush/hush@one/mymaster": "the name of the master",
    "redis+sentinel://one/mymaster/main": "the number of a database",
    "redis+sentinel://one/mymaster?sentinel_pasword=x": "no parameter 'sentinel_pasword'",
    "redis+sentinel://one/mymaster?ssl_cert_reqs=none": "need rediss://",
    "rediss+sentinel://one/mymaster?ssl_ca_certs=/nonexistent/ca.pem": "cannot be read",
    "redis://localhost?max_connections=1": "max_connections: expected 8 or more",
    "redis://localhost?protocol=9": "protocol must be",
    "rediss://localhost?ssl_cert_reqs=sometimes": "Invalid SSL",
    "rediss://localhost?ssl_ca_certs=/nonexistent/ca.pem": "cannot be read",
}


@pytest.mark.parametrize("url", REDIS_TAKEN)
def test_a_redis_url_that_works_is_taken(url: str) -> None:
    assert checked_redis_url(url) == url


@pytest.mark.parametrize(("url", "expected"), REDIS_REFUSED.items())
def test_a_redis_url_that_cannot_work_is_refused_with_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, url: str, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected) as refused:
        checked_redis_url(url)
    assert "hush" not in str(refused.value)
    _complete(monkeypatch, REDIS_URL=url)
    with pytest.raises(SettingsError, match=r"^WAYSTATION_REDIS_URL: "):
        load_settings()


@pytest.mark.parametrize(
    "url",
    [
        "gateway.example.com",
        "https://",
        "https:///path",
        "https://gateway.example.com?x=1",
        "https://gateway.example.com/#top",
        "https://me@gateway.example.com",
        "http://gateway.example.com:70000",
        "http://gateway.example.com:abc",
        "ftp://gateway.example.com",
    ],
)
def test_a_base_url_that_cannot_be_one_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(ValueError, match="expected a URL such as https://"):
        checked_http_url(url)
    for name in ("PUBLIC_URL", "UPSTREAM_URL", "UPSTREAM_HISTORY_URL"):
        with monkeypatch.context() as patched:
            _complete(patched, **{name: url})
            with pytest.raises(SettingsError, match=f"^WAYSTATION_{name}: "):
                load_settings()


@pytest.mark.parametrize(
    "url",
    [
        "proxy.example.com:3128",
        "socks5://proxy.example.com:1080",
        "http://",
        "http://me:hush@proxy.example.com:70000",
        "http://me:hush@proxy.example.com/path",
        "http://me:hush@proxy.example.com?x=1",
        "http://me:hush@proxy.example.com#x",
        "http://me:hush%E2%82%AC@proxy.example.com",
        "http://m%3Ae:hush@proxy.example.com",
    ],
)
def test_a_proxy_that_cannot_be_one_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(ValueError, match="expected the URL of a proxy such as http://"):
        checked_proxy_url(url)
    _complete(monkeypatch, UPSTREAM_PROXY=url)
    with pytest.raises(SettingsError, match=r"^WAYSTATION_UPSTREAM_PROXY: ") as refused:
        load_settings()
    assert "hush" not in str(refused.value)


def test_the_password_of_a_proxy_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    _complete(monkeypatch, UPSTREAM_PROXY="http://me:hu%2Fsh@proxy.example.com:3128/")
    settings = load_settings()
    assert settings.upstream_proxy == "http://me:hu%2Fsh@proxy.example.com:3128"
    assert {"hu%2Fsh", "hu/sh"} <= set(settings.own_secrets)
    assert "sh@" not in repr(settings)
    _complete(monkeypatch, UPSTREAM_PROXY="")
    assert load_settings().upstream_proxy is None


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("UPSTREAM_RPM", "inf", "requests a minute above 0, such as 600"),
        ("UPSTREAM_RPM", "many", "requests a minute above 0, such as 600"),
        ("UNKNOWN_MAX_SECONDS", "nan", "seconds above 0, at most 2592000, such as 3600"),
        ("LEASE_SECONDS", "0", "seconds from 1 to 300, such as 15"),
        ("LOG_LEVEL", "verbose", "DEBUG, INFO, WARNING or ERROR"),
        ("UNPRICED_MODELS", "maybe", "refuse or pass"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    _complete(monkeypatch, **{name: value})
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value) == f"WAYSTATION_{name}: expected {expected}" + (
        ", or nothing" if name == "UPSTREAM_RPM" else ""
    )


def _complete(monkeypatch: pytest.MonkeyPatch, **given: str) -> None:
    """All settings that are required, with one or the other replaced."""
    settings = {
        "DATABASE_URL": "postgresql://localhost/main",
        "REDIS_URL": "redis://localhost",
        "PUBLIC_URL": "http://localhost:8080",
        "SECRET_KEY": "x" * 32,
    }
    for name, value in {**settings, **given}.items():
        monkeypatch.setenv(f"WAYSTATION_{name}", value)
