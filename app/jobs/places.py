"""A tenant's and a key's places: how many of their jobs are in flight and queued, beside how many may be."""

from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder
from app.core.errors import StoreUnavailable

LOCK_SECONDS = 3


class Limits(NamedTuple):
    """What a tenant and one of its keys may do, and the places they take now; None: no limit of their own."""

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
    """Hold a tenant's counts. First in its transaction, as in that of whoever submits."""
    await session.run(_LOCK_QUEUE, subject_id=subject_id)


async def reweigh(session: Session, *, tenant_id: UUID, weight: float) -> None:
    """What a tenant has had beyond the others counts by its new weight. One statement, before that is written down."""
    await session.run(_REWEIGH, tenant_id=tenant_id, weight=weight)


async def open_places(session: Session, *, tenant_id: UUID, key_id: UUID) -> None:
    """Begin to count a key's jobs, if they are not counted yet. First in its transaction; raises StoreUnavailable.

    Nobody else changes a job's state until the transaction ends: who waits takes his snapshot afterwards, and sees the
    new row.
    """
    if await session.find_value(_HAS_QUEUE, subject_id=key_id):
        return
    try:
        # whoever wants to write waits behind us: not for long, should somebody have stopped in mid-transaction
        await session.find_value(_SET_LOCK_TIMEOUT, seconds=LOCK_SECONDS)
        # not behind whoever has locked a queue and a balance, and goes on to write: he would wait for us, and we for him
        await session.run(_LOCK_ALL_QUEUES)
    except asyncpg.LockNotAvailableError as error:
        raise StoreUnavailable from error
    if not await session.find_value(_HAS_QUEUE, subject_id=key_id):
        await session.run(_OPEN_QUEUE, tenant_id=tenant_id, key_id=key_id)


async def get_limits(session: ReadSession, *, tenant_id: UUID, key_id: UUID) -> Limits:
    """What a tenant and one of its keys may do, and the places they take now. One statement."""
    return await session.get_row(_GET_LIMITS, tenant_id=tenant_id, key_id=key_id)  # neither is ever deleted
