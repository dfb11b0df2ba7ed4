"""Keeps witnesses in Redis for processes that start later. Redis may be empty or unavailable at any time."""

from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import orjson

from app.books.decide import WITNESS_SECONDS, ProcessKnowledge, speaking
from app.core import clock
from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger
from app.core.redis.redis_pool import open_redis
from app.core.redis.subscription import REDIS_SECONDS, UNAVAILABLE_ERRORS

log = get_logger(__name__)

KEY = "waystation:witnesses"
RECALLED_MAX = 200


class WitnessStore:
    """Reads and writes witnesses over its own connection to Redis."""

    def __init__(self, url: str) -> None:
        self._redis = open_redis(url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS)
        self._away = Outage(log, begun="witness.not_stored", over="witness.stored")

    async def keep(self, known: ProcessKnowledge) -> bool:
        """Store the witness of a process. Returns whether Redis accepted it."""
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hset(KEY, known.process_id.hex, _written(replace(known, at=clock.now().timestamp())))
                pipeline.expire(KEY, round(WITNESS_SECONDS))
                await pipeline.execute()
        except UNAVAILABLE_ERRORS as error:
            self._away.met(cause=repr(error))
            return False
        self._away.passed()
        return True

    async def recall(self) -> list[ProcessKnowledge]:
        """The witnesses that still count, of each database identity the newest RECALLED_MAX; none if Redis is unavailable.
        Deletes witnesses that are too old or unreadable."""
        try:
            rows = await cast(Any, self._redis.hgetall(KEY))
            found = {field: known for field, text in rows.items() if (known := _read(text)) is not None}
            old = {field for field, known in found.items() if known.at < clock.now().timestamp() - WITNESS_SECONDS}
            if gone := [field for field in rows if field in old or field not in found]:
                await cast(Any, self._redis.hdel(KEY, *gone))
        except UNAVAILABLE_ERRORS as error:
            self._away.met(cause=repr(error))
            return []
        self._away.passed()
        by_books: dict[UUID, list[ProcessKnowledge]] = {}
        for field, known in found.items():
            if field not in old:
                by_books.setdefault(known.books_id, []).append(known)
        return [
            one
            for several in by_books.values()
            for one in sorted(speaking(several), key=lambda one: -one.at)[:RECALLED_MAX]
        ]

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()


def _written(known: ProcessKnowledge) -> str:
    return orjson.dumps(
        {
            "books": known.books_id.hex,
            "process": known.process_id.hex,
            "recoveries": known.recoveries,
            "beats": known.beats,
            "attempts": [[job_id.hex, number] for job_id, number in known.attempts],
            "ended": known.ended,
            "at": known.at,
        }
    ).decode()


def _read(text: bytes) -> ProcessKnowledge | None:
    """Parses what `_written` made. None if it is anything else."""
    try:
        row = orjson.loads(text)
        return ProcessKnowledge(
            books_id=UUID(hex=row["books"]),
            process_id=UUID(hex=row["process"]),
            recoveries=int(row["recoveries"]),
            beats=None if row["beats"] is None else int(row["beats"]),
            attempts=tuple((UUID(hex=job_id), int(number)) for job_id, number in row["attempts"]),
            ended=bool(row["ended"]),
            at=float(row["at"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
