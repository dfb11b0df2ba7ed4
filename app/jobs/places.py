"""The limits of a tenant and of its keys, and the places that their jobs take."""

from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder
from app.core.errors import StoreUnavailable

LOCK_SECONDS = 3


class Limits(NamedTuple):
    """The limits of a tenant and of one of its keys, and the places that they take now. None: no own limit."""

    rate_per_minute: int
    burst: int
    refused_per_minute: int | None
    max_in_flight: int
    max_queued: int
    weight: float
    max_price_micro: int | None
    models: list[str] | None
    in_flight: int
    queued: int
    key_rate_per_minute: int | None
    key_burst: int | None
    key_max_in_flight: int | None
    key_max_queued: int | None
    key_in_flight: int | None
    key_queued: int | None


_SQL = SqlFolder(__file__)
_LOCK_QUEUE = _SQL.command("lock_queue")
_REWEIGH = _SQL.command("reweigh")
_HAS_QUEUE = _SQL.query("has_queue", bool)
_LOCK_ALL_QUEUES = _SQL.command("lock_all_queues")
_OPEN_QUEUE = _SQL.command("open_queue")
_SET_LOCK_TIMEOUT = _SQL.query("set_lock_timeout", str)
_GET_LIMITS = _SQL.query("get_limits", Limits)


async def lock_queue(session: Session, *, subject_id: UUID) -> None:
    """Lock a queue. It must be first in its transaction, as in a submit's."""
    await session.run(_LOCK_QUEUE, subject_id=subject_id)


async def reweigh(session: Session, *, tenant_id: UUID, weight: float) -> None:
    """Convert a tenant's virtual time to its new weight, before that is stored. One statement."""
    await session.run(_REWEIGH, tenant_id=tenant_id, weight=weight)


async def open_places(session: Session, *, tenant_id: UUID, key_id: UUID) -> None:
    """Begin to count a key's jobs, if not counted yet. First in its transaction. Raises StoreUnavailable after LOCK_SECONDS.

    No other transaction writes to queues until this one ends. One that waits takes its snapshot afterwards, and sees the new row.
    """
    if await session.find_value(_HAS_QUEUE, subject_id=key_id):
        return
    try:
        # all writers wait behind this lock request, so it must not last long
        await session.find_value(_SET_LOCK_TIMEOUT, seconds=LOCK_SECONDS)
        # the lock waits for transactions that have locked rows of queues: if they had to wait for us later, we would deadlock
        await session.run(_LOCK_ALL_QUEUES)
    except asyncpg.LockNotAvailableError as error:
        raise StoreUnavailable from error
    if not await session.find_value(_HAS_QUEUE, subject_id=key_id):
        await session.run(_OPEN_QUEUE, tenant_id=tenant_id, key_id=key_id)


async def get_limits(session: ReadSession, *, tenant_id: UUID, key_id: UUID) -> Limits:
    """Return the limits and places of a tenant and one of its keys. One statement."""
    return await session.get_row(_GET_LIMITS, tenant_id=tenant_id, key_id=key_id)  # neither is ever deleted
