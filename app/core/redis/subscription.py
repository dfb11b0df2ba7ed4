"""Receive messages that are published in Redis. A lost subscription is renewed automatically."""

import asyncio
from collections.abc import Callable, Sequence

from redis.asyncio.client import PubSub
from redis.exceptions import NoPermissionError, RedisError

from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger
from app.core.redis.redis_pool import open_redis

log = get_logger(__name__)

UNAVAILABLE_ERRORS = (RedisError, OSError, TimeoutError)
"""The errors of redis-py if Redis is unreachable."""
REDIS_SECONDS = 2.0
"""How long Redis may take to connect and to answer."""
RECONNECT_SECONDS = 0.5
REFUSED_SECONDS = 30.0
"""RECONNECT_SECONDS after a refusal for missing rights, which lasts until an operator changes them."""
RIGHTS = "the Redis user needs ~* &waystation:* +@all"
"""The hint in the log if Redis refuses something for missing rights."""
QUIET_SECONDS = 15.0
"""After this time without a message a PING tests the connection, which may have died silently."""

Heard = Callable[[str, bytes], None]
"""Called with the channel and the message."""


async def subscribe(
    url: str, channels: Sequence[str], heard: Heard, *, connected: Callable[[bool], None] | None = None
) -> None:
    """Call `heard` with the messages of these channels until cancelled. `connected`: called with True when messages begin to
    arrive, and with False when the connection is lost. Messages that are published in between are lost."""
    lost = Outage(log, begun="subscription.lost", over="subscription.back")

    def told(subscribed: bool) -> None:
        if subscribed:
            lost.passed(channels=channels)
        if connected is not None:
            connected(subscribed)

    while True:
        wait_seconds = RECONNECT_SECONDS
        try:
            async with open_redis(url, socket_connect_timeout=REDIS_SECONDS) as redis, redis.pubsub() as pubsub:
                async with asyncio.timeout(REDIS_SECONDS):  # redis-py has no timeout for the answer to its greeting
                    await pubsub.subscribe(*channels)
                try:
                    await _listen(pubsub, len(channels), heard, told)
                finally:
                    told(False)
        except NoPermissionError as error:
            lost.met(channels=channels, cause=repr(error), mend=RIGHTS)
            wait_seconds = REFUSED_SECONDS
        except UNAVAILABLE_ERRORS as error:
            lost.met(channels=channels, cause=repr(error))
        await asyncio.sleep(wait_seconds)


async def _listen(pubsub: PubSub, channels: int, heard: Heard, connected: Callable[[bool], None]) -> None:
    subscribed = asked = False
    while True:
        message = await pubsub.get_message(timeout=QUIET_SECONDS if subscribed and not asked else REDIS_SECONDS)
        if message is None:
            if asked or not subscribed:
                raise TimeoutError("Redis is silent")
            asked = True
            await pubsub.ping()
            continue
        asked = False
        if message["type"] == "message":
            heard(message["channel"].decode(), message["data"])
        elif message["type"] == "subscribe" and message["data"] == channels:
            subscribed = True
            connected(True)
