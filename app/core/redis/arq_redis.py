"""Redis for arq: its queue, its payloads, its connections."""

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
from app.core.redis.subscription import RECONNECT_SECONDS, REDIS_SECONDS, UNAVAILABLE_ERRORS

log = get_logger(__name__)

QUEUE = "waystation:tasks"
CONNECTIONS_MAX = 32
"""Of one process. Without a limit, each message would open one more while Redis does not answer."""


def serialized(value: dict[str, object]) -> bytes:
    """Serialize arq's payloads as JSON. With arq's default, pickle, anyone who can write to Redis could run code here."""
    return orjson.dumps(value, default=repr)  # repr: the result of a task that arq gives up is an exception


def deserialized(value: bytes) -> dict[str, object]:
    """Parse what `serialized` returned."""
    loaded: dict[str, object] = orjson.loads(value)
    return loaded


class QueueRedis(ArqRedis):
    """arq's connections."""

    async def delete(self, *_names: Any) -> int:
        """Do nothing. arq calls this only to delete the health key when it stops. All workers share that key, and others may
        still run. It expires soon after the last worker has stopped."""
        return 0

    async def close(self, close_connection_pool: bool | None = None) -> None:
        """Close. arq still uses this old name, about which redis-py warns."""
        await self.aclose(close_connection_pool)


class PatientRedis(QueueRedis):
    """For an arq that runs a process, which an error of Redis would end. Commands wait until Redis is back. A pipeline fails:
    arq then finds nothing to do, and polls again."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._away = Outage(log, begun="arq.stopped", over="arq.started")

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Like redis-py, but retries until Redis is back."""
        while True:
            try:
                answer = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
            except UNAVAILABLE_ERRORS as error:
                self._away.met(cause=repr(error))
                await asyncio.sleep(RECONNECT_SECONDS)
            else:
                self._away.passed()
                return answer

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        """Like redis-py, but it raises nothing while Redis is unreachable."""
        return _ForgivingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _ForgivingPipeline(Pipeline):
    """A pipeline that raises nothing while Redis is unreachable. Its commands then return {}, which arq reads as no job, no
    score, or no information about the server."""

    _gone = False

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Like redis-py: a command before MULTI, first WATCH. After one failed, all fail, since nothing is watched."""
        if not self._gone:
            try:
                return await super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]
            except UNAVAILABLE_ERRORS:
                self._gone = True
        return {}

    def pipeline_execute_command(self, *args: Any, **options: Any) -> Any:
        """Like redis-py, unless a command has failed."""
        if self._gone:
            return self.immediate_execute_command()
        return super().pipeline_execute_command(*args, **options)  # type: ignore[no-untyped-call]

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Like redis-py. Raises WatchError if arq would otherwise run a task that it has not claimed."""
        number, claims = len(self.command_stack), self.explicit_transaction
        try:
            return await super().execute(raise_on_error)
        except UNAVAILABLE_ERRORS as error:
            if claims:
                raise WatchError(repr(error)) from error
            return [{}] * number

    async def reset(self) -> None:
        """Like redis-py, also if the server does not answer."""
        try:
            await super().reset()  # type: ignore[no-untyped-call]
        except UNAVAILABLE_ERRORS:
            self.watching = False  # the connection is closed
            await super().reset()  # type: ignore[no-untyped-call]


def arq_pool(url: str, *, kind: type[QueueRedis] = QueueRedis) -> QueueRedis:
    """Return connections for arq, without retries or a long wait for Redis, since a sweep finds the work. A PatientRedis
    does wait."""
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
    """Return settings for `arq --check`, which opens its own connection: to the first of several servers, since any has the
    key that it reads."""
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
    """A proxy of the object that `make` returns. It calls `make` at the first access to an attribute, so that its module can
    be imported without settings."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> object:
        return self._make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)
