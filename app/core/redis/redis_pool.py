"""Open connections to Redis for each form of REDIS_URL (`redis_url`): one server, several servers of which one accepts
writes, or Sentinels that know the server that does."""

from typing import Any, TypeVar

from redis.asyncio import Connection, ConnectionPool, Redis, Sentinel, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ReadOnlyError, RedisError

from app.core.redis.redis_url import RedisAddress, parse_redis_url

SENTINEL_SECONDS = 2.0
"""How long a Sentinel may take, unless the URL says it."""

Client = TypeVar("Client", bound=Redis)


def open_pool(url: str, **options: Any) -> ConnectionPool:
    """Return a pool without open connections. `options`: those of redis-py; options in the URL take precedence. Raises
    ValueError, redis-py's errors or OSError if the URL is not valid."""
    address = parse_redis_url(url)
    if address.sentinel is not None:
        return _sentinel_pool(address, options)
    settings, tls = _settings(address, options)
    if len(address.servers) < 2:
        return ConnectionPool(**settings)
    settings |= {"connection_class": _WritableTls if tls else _Writable, "servers": list(address.servers)}
    return ConnectionPool(**settings)


def open_redis(url: str, **options: Any) -> Redis:
    """Return a client with its own pool, which closes with the client. Otherwise as `open_pool`."""
    return Redis.from_pool(open_pool(url, **options))


def _settings(address: RedisAddress, options: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return redis-py's arguments, and whether TLS is used. The certificate must then be for the host, unless the URL says
    otherwise."""
    settings: dict[str, Any] = {**options, **parse_url(address.plain)}
    tls = address.plain.startswith("rediss:")
    if tls and settings.get("ssl_cert_reqs", "required") == "required":
        settings.setdefault("ssl_check_hostname", True)
    return settings, tls


def _sentinel_pool(address: RedisAddress, options: dict[str, Any]) -> ConnectionPool:
    assert address.sentinel is not None
    settings, tls = _settings(address, options)
    for name in ("connection_class", "host", "port"):
        settings.pop(name, None)
    asking: dict[str, Any] = {
        "socket_timeout": SENTINEL_SECONDS,
        "socket_connect_timeout": SENTINEL_SECONDS,
        **{name: value for name, value in settings.items() if name.startswith(("socket_", "ssl_"))},
        **address.sentinel.login,
        "ssl": tls,
    }
    sentinel = Sentinel(address.servers, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    return _SentinelPool(address.sentinel.name, sentinel, ssl=tls, **settings)  # type: ignore[no-untyped-call]


class _SentinelPool(SentinelConnectionPool):
    """Connections to the server that the Sentinels call the master."""

    async def get_master_address(self) -> Any:
        try:
            return await super().get_master_address()  # type: ignore[no-untyped-call]
        except BaseException:
            # also after a timeout or cancellation: the next call asks another Sentinel first
            sentinels = self.sentinel_manager.sentinels
            sentinels.append(sentinels.pop(0))
            raise

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.connection_pool.disconnect()


class _Writable(Connection):
    """A connection to the first of several servers that answers and accepts writes. `servers`: a list that the connections of
    a pool share. The server that was found last is first."""

    def __init__(self, *, servers: list[tuple[str, int]], **options: Any) -> None:
        super().__init__(**options)
        self._servers = servers

    async def connect(self) -> None:
        if self.is_connected:
            return
        failure: BaseException | None = None
        for _ in range(len(self._servers)):
            server = self._servers[0]
            self.host, self.port = server
            try:
                await super().connect()  # type: ignore[no-untyped-call]
                if await self._takes_writes():
                    return
            except RedisError as error:
                failure = error
                self._pass_over(server)
            except BaseException:
                # also after a timeout or cancellation: the next connection tries another server first
                self._pass_over(server)
                raise
            else:
                self._pass_over(server)
            await self.disconnect()
        raise failure or RedisConnectionError("none of the servers in REDIS_URL takes writes")

    def _pass_over(self, server: tuple[str, int]) -> None:
        if self._servers[0] == server:
            self._servers.append(self._servers.pop(0))

    async def _takes_writes(self) -> bool:
        try:
            await self.send_command("ROLE")
            role: list[Any] = await super().read_response()
        except NoPermissionError:
            return True  # the first write shows it
        return role[0] in (b"master", "master")

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ReadOnlyError:
            self._pass_over((self.host, self.port))
            await self.disconnect()
            raise RedisConnectionError("the server takes no writes any more") from None


class _WritableTls(_Writable, SSLConnection):
    """A `_Writable` with TLS."""
