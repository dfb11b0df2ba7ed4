"""arq's way to Redis: its queue, its payloads, its connections."""

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import Any

import orjson
from arq.connections import ArqRedis, RedisSettings
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import parse_url
from redis.exceptions import WatchError

from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger
from app.core.redis.redis_pool import open_pool
from app.core.redis.redis_url import parse_redis_url
from app.core.redis.subscription import AWAY, RECONNECT_SECONDS, REDIS_SECONDS

log = get_logger(__name__)

QUEUE = "waystation:tasks"
CONNECTIONS_MAX = 32
"""What one process opens at most; a Redis that is silent would otherwise be given one more for every message."""


def serialized(value: dict[str, object]) -> bytes:
    """arq's payloads as JSON: its default, pickle, lets whoever can write to Redis run code here."""
    return orjson.dumps(value, default=repr)  # the result of a task that arq gives up is an exception


def deserialized(value: bytes) -> dict[str, object]:
    """The other way round."""
    loaded: dict[str, object] = orjson.loads(value)
    return loaded


class QueueRedis(ArqRedis):
    """arq's connections."""

    async def delete(self, *_names: Any) -> int:
        """arq calls this when it stops, and for one thing: to delete the health key. All workers share that key, and others
        may be running. It expires by itself, soon after the last worker has stopped."""
        return 0

    async def close(self, close_connection_pool: bool | None = None) -> None:
        """arq still calls it by its old name, of which redis-py warns."""
        await self.aclose(close_connection_pool)


class PatientRedis(QueueRedis):
    """For an arq that runs the process, which an error of Redis would end. A command waits until Redis is back. What a
    pipeline does is given up: arq then finds that there is nothing to do, and looks again."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._away = Outage(log, begun="arq.stopped", over="arq.started")

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As in redis-py."""
        while True:
            try:
                answer = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
            except AWAY as error:
                self._away.met(cause=repr(error))
                await asyncio.sleep(RECONNECT_SECONDS)
            else:
                self._away.passed()
                return answer

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        """As in redis-py."""
        return _ForgivingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _ForgivingPipeline(Pipeline):
    """A pipeline that raises nothing where Redis is away. Each of its commands then answers {}, which arq takes for no job,
    no score, no information about the server."""

    _gone = False

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """As in redis-py: what goes before MULTI, beginning with WATCH. Once one has failed, so do all: nothing is watched."""
        if not self._gone:
            try:
                return await super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]
            except AWAY:
                self._gone = True
        return {}

    def pipeline_execute_command(self, *args: Any, **options: Any) -> Any:
        """As in redis-py."""
        if self._gone:
            return self.immediate_execute_command()
        return super().pipeline_execute_command(*args, **options)  # type: ignore[no-untyped-call]

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """As in redis-py. Raises WatchError where arq would otherwise run a task that it has not claimed."""
        number, claims = len(self.command_stack), self.explicit_transaction
        try:
            return await super().execute(raise_on_error)
        except AWAY as error:
            if claims:
                raise WatchError(repr(error)) from error
            return [{}] * number

    async def reset(self) -> None:
        """As in redis-py, which does not expect a server that is silent."""
        try:
            await super().reset()  # type: ignore[no-untyped-call]
        except AWAY:
            self.watching = False  # the connection is closed
            await super().reset()  # type: ignore[no-untyped-call]


def arq_pool(url: str, *, kind: type[QueueRedis] = QueueRedis) -> QueueRedis:
    """Connections for arq: no retries, and no waiting for a Redis that is silent, since the sweep stands in for it; unless
    `kind` is patient."""
    pool = open_pool(
        url,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        max_connections=CONNECTIONS_MAX,
    )
    return kind(
        connection_pool=pool,
        job_serializer=serialized,
        job_deserializer=deserialized,
        default_queue_name=QUEUE,
    )


def arq_settings(url: str) -> RedisSettings:
    """The same for `arq --check`, which opens its own: the first of several servers, any of which knows the key it asks for."""
    address = parse_redis_url(url)
    given: dict[str, Any] = dict(parse_url(address.plain))
    names = {"db": "database", "path": "unix_socket_path", "socket_connect_timeout": "conn_timeout"}
    given = {names.get(name, name): value for name, value in given.items()}
    settings = RedisSettings(**{name: value for name, value in given.items() if name in RedisSettings.__annotations__})
    settings.ssl = address.plain.startswith("rediss:")
    settings.ssl_check_hostname = given.get("ssl_check_hostname", settings.ssl_cert_reqs == "required")
    if address.sentinel is not None:
        settings.host, settings.sentinel, settings.sentinel_master = list(address.servers), True, address.sentinel.name
    return settings


class Later:
    """Calls `make` when one of its attributes is first asked for, and gives the attributes of what was made. A module that
    holds one can be imported without settings."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> object:
        return self._make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)
