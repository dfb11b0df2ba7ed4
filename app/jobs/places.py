"""A tenant's and a key's places: how many of their jobs are in flight and queued, beside how many may be."""

from uuid import UUID

import asyncpg

from app.core.db import ReadSession, Row, Session
from app.core.errors import StoreUnavailable
from app.jobs.transitions import counts

LOCK_SECONDS = 3

# A key has a row in `queues` from the first time it is given places of its own; its jobs are counted from there on.
_OPEN = f"""
INSERT INTO queues (subject_id, tenant_id, {", ".join(counts())})
SELECT $2, $1, {", ".join(f"count(*) FILTER (WHERE {condition})" for condition in counts().values())}
FROM jobs
WHERE tenant_id = $1 AND key_id = $2 AND state IN ('queued', 'sending', 'unknown', 'running')
"""  # noqa: S608

_REWEIGH = """
UPDATE queues SET
    virtual_time = state.virtual_time + (queues.virtual_time - state.virtual_time) * queues.weight / $2::double precision
FROM upstream_state AS state
WHERE subject_id = $1 AND queues.virtual_time > state.virtual_time AND $2::double precision > 0
"""

_LIMITS = """
SELECT
    tenant.rate_per_minute, tenant.burst, tenant.refused_per_minute, tenant.max_in_flight, tenant.max_queued, tenant.weight,
    tenant.max_price_micro, tenant.models, place.in_flight, place.queued,
    key.rate_per_minute AS key_rate_per_minute, key.burst AS key_burst,
    key.max_in_flight AS key_max_in_flight, key.max_queued AS key_max_queued,
    own.in_flight AS key_in_flight, own.queued AS key_queued
FROM tenants AS tenant
JOIN api_keys AS key ON key.tenant_id = tenant.id
JOIN queues AS place ON place.subject_id = tenant.id
LEFT JOIN queues AS own ON own.subject_id = key.id
WHERE tenant.id = $1 AND key.id = $2
"""


async def lock_queue(session: Session, *, subject_id: UUID) -> None:
    """Hold a tenant's counts. First in its transaction, as in that of whoever submits."""
    await session.execute("SELECT FROM queues WHERE subject_id = $1 FOR UPDATE", subject_id)


async def reweigh(session: Session, *, tenant_id: UUID, weight: float) -> None:
    """What a tenant has had beyond the others counts by its new weight. One statement, before that is written down."""
    await session.execute(_REWEIGH, tenant_id, weight)


async def open_places(session: Session, *, tenant_id: UUID, key_id: UUID) -> None:
    """Begin to count a key's jobs, if they are not counted yet. First in its transaction; raises StoreUnavailable.

    Nobody else changes a job's state until the transaction ends: who waits takes his snapshot afterwards, and sees the
    new row.
    """
    if await session.fetchval("SELECT true FROM queues WHERE subject_id = $1", key_id):
        return
    try:
        # whoever wants to write waits behind us: not for long, should somebody have stopped in mid-transaction
        await session.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        # not behind whoever has locked a queue and a balance, and goes on to write: he would wait for us, and we for him
        await session.execute("LOCK TABLE queues IN EXCLUSIVE MODE")
    except asyncpg.LockNotAvailableError as error:
        raise StoreUnavailable from error
    if not await session.fetchval("SELECT true FROM queues WHERE subject_id = $1", key_id):
        await session.execute(_OPEN, tenant_id, key_id)


async def get_limits(session: ReadSession, *, tenant_id: UUID, key_id: UUID) -> Row:
    """What a tenant and one of its keys may do, and the places they take now. One statement."""
    row = await session.fetchrow(_LIMITS, tenant_id, key_id)
    assert row is not None, "keys and tenants are never deleted"
    return row
