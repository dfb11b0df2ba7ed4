"""Reads of secrets, events and attempts. Each names its tenant, but for those of workers."""

from collections.abc import Sequence
from uuid import UUID

from app.core.db import ReadSession, Row
from app.core.errors import NotFound
from app.core.sql import SqlFolder

_SQL = SqlFolder(__file__)
WANTS_START_PART = _SQL.part("wants_start")
"""For statements of other rooms; its file says what it needs."""


class EndpointNotFound(NotFound):
    """404: no endpoint of this tenant has that id."""

    code = "webhook_endpoint_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such webhook endpoint")


class DeliveryNotFound(NotFound):
    """404: no delivery of this tenant has that id."""

    code = "delivery_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such delivery")


_SECRETS = """
SELECT secret.tenant_id, secret.endpoint_id, secret.id, secret.sealed
FROM unnest($1::uuid[], $2::uuid[]) AS asked (tenant_id, endpoint_id)
JOIN webhook_secrets AS secret ON secret.tenant_id = asked.tenant_id
    AND secret.endpoint_id IS NOT DISTINCT FROM asked.endpoint_id
WHERE secret.expires_at IS NULL OR secret.expires_at > now()
ORDER BY secret.expires_at DESC NULLS FIRST
"""


async def list_secrets(
    session: ReadSession, *, owners: Sequence[tuple[UUID, UUID | None]]
) -> dict[tuple[UUID, UUID | None], list[tuple[UUID, bytes]]]:
    """For each (tenant, endpoint or None): row ids and sealed secrets that sign now, newest first."""
    rows = await session.fetch(_SECRETS, [tenant for tenant, _ in owners], [endpoint for _, endpoint in owners])
    found: dict[tuple[UUID, UUID | None], list[tuple[UUID, bytes]]] = {}
    for row in rows:
        found.setdefault((row["tenant_id"], row["endpoint_id"]), []).append((row["id"], row["sealed"]))
    return found


_FEED = """
SELECT id, type, job_id, sequence, position, created_at, body FROM webhook_events
WHERE tenant_id = $1 AND position > $2 ORDER BY position LIMIT $3
"""


async def find_position(session: ReadSession, *, tenant_id: UUID, event_id: UUID) -> int | None:
    """Where an event stands in its tenant's feed."""
    sql = "SELECT position FROM webhook_events WHERE id = $1 AND tenant_id = $2"
    position: int | None = await session.fetchval(sql, event_id, tenant_id)
    return position


async def list_events(session: ReadSession, *, tenant_id: UUID, after: int, limit: int) -> list[Row]:
    """A tenant's events after this position, in the order of their commits."""
    return await session.fetch(_FEED, tenant_id, after, limit)


async def list_attempts(session: ReadSession, *, delivery_id: UUID) -> list[Row]:
    """What was tried of one delivery, in order."""
    sql = "SELECT * FROM webhook_attempts WHERE delivery_id = $1 ORDER BY attempt"
    return await session.fetch(sql, delivery_id)
