"""Groups of records of many tenants, in which no tenant waits long for a lock of another tenant."""

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

import asyncpg

from app.core.errors import StoreUnavailable
from app.core.process.batch import Batcher, WriteApart

Item = TypeVar("Item")
Result = TypeVar("Result")

LOCK_SECONDS = 0.1
"""How long a group waits for a lock. After that, each of its tenants, or jobs, is written separately."""
LOCK_SECONDS_APART = 0.2
"""The same for one that is written separately. It is retried until it is written."""


def open_recorder(
    write: Callable[[Sequence[Item], float], Awaitable[Sequence[Result | Exception]]],
    *,
    size_max: int,
    linger_seconds: float,
    coming: Callable[[], bool] | None = None,
    large: Callable[[tuple[UUID, Item]], bool] | None = None,
) -> Batcher[tuple[UUID, Item], Result]:
    """Return a batcher of items. Each item comes with the id that its locks belong to: its tenant, or its job. `write` gets the
    items and the seconds to wait for a lock. It writes nothing and raises asyncpg.LockNotAvailableError if a lock is not free
    by then."""

    async def flush(group: Sequence[tuple[UUID, Item]], *, lock_seconds: float) -> Sequence[Result | Exception]:
        try:
            return await write([item for _, item in group], lock_seconds)
        except asyncpg.LockNotAvailableError:
            return [WriteApart(StoreUnavailable())] * len(group)

    return Batcher(
        partial(flush, lock_seconds=LOCK_SECONDS),
        apart=partial(flush, lock_seconds=LOCK_SECONDS_APART),
        apart_seconds=math.inf,  # outcomes must never be lost
        size_max=size_max,
        linger_seconds=linger_seconds,
        coming=coming,
        key=lambda one: one[0],
        large=large,
    )
