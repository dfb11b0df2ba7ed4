"""Reads of endpoints, secrets, events and deliveries. Each names its tenant, but for those of workers and operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.db import ReadSession, Row
from app.core.errors import NotFound

_ENDPOINT = """
SELECT
    endpoint.id, endpoint.tenant_id, tenant.name AS tenant, endpoint.url, endpoint.events, endpoint.description,
    endpoint.created_at, target.disabled_at, target.disabled_reason, target.failures, target.failing_since,
    target.succeeded_at
FROM webhook_endpoints AS endpoint
JOIN webhook_targets AS target ON target.id = endpoint.id
JOIN tenants AS tenant ON tenant.id = endpoint.tenant_id
WHERE endpoint.deleted_at IS NULL
"""


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


async def get_endpoint(session: ReadSession, *, tenant_id: UUID, endpoint_id: UUID) -> Row:
    """One endpoint; raises EndpointNotFound."""
    row = await session.fetchrow(
        f"{_ENDPOINT} AND endpoint.id = $1 AND endpoint.tenant_id = $2", endpoint_id, tenant_id
    )
    if row is None:
        raise EndpointNotFound
    return row


async def list_endpoints(session: ReadSession, *, tenant_id: UUID | None, after: UUID | None, limit: int) -> list[Row]:
    """A tenant's endpoints, or everybody's, oldest first."""
    return await session.fetch(
        f"{_ENDPOINT} AND ($1::uuid IS NULL OR endpoint.tenant_id = $1) AND ($2::uuid IS NULL OR endpoint.id > $2)"
        " ORDER BY endpoint.id LIMIT $3",
        tenant_id,
        after,
        limit,
    )


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


_DELIVERY = """
SELECT
    delivery.id, delivery.tenant_id, tenant.name AS tenant, delivery.event_id, endpoint.id AS endpoint_id,
    delivery.job_id, delivery.type, delivery.status, delivery.attempts, delivery.created_at, delivery.due_at,
    delivery.delivered_at, delivery.last_status_code, delivery.last_error, coalesce(delivery.url, endpoint.url) AS url
FROM webhook_deliveries AS delivery
JOIN tenants AS tenant ON tenant.id = delivery.tenant_id
LEFT JOIN webhook_endpoints AS endpoint ON endpoint.id = delivery.target_id
"""


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries are wanted; None is no bound. after: the page before ended with it."""

    tenant_id: UUID | None = None
    after: UUID | None = None
    status: str | None = None
    type: str | None = None
    endpoint_id: UUID | None = None
    job_id: UUID | None = None
    event_id: UUID | None = None
    created_after: datetime | None = None


_DELIVERIES = f"""{_DELIVERY}
WHERE ($1::uuid IS NULL OR delivery.tenant_id = $1)
    AND ($2::uuid IS NULL OR (delivery.created_at, delivery.id) < (
        SELECT last.created_at, last.id FROM webhook_deliveries AS last
        WHERE last.id = $2 AND ($1::uuid IS NULL OR last.tenant_id = $1)
    ))
    AND ($3::text IS NULL OR delivery.status = $3)
    AND ($4::text IS NULL OR delivery.type = $4)
    AND ($5::uuid IS NULL OR delivery.target_id = $5)
    AND ($6::uuid IS NULL OR delivery.job_id = $6)
    AND ($7::uuid IS NULL OR delivery.event_id = $7)
    AND ($8::timestamptz IS NULL OR delivery.created_at > $8)
ORDER BY delivery.created_at DESC, delivery.id DESC LIMIT $9
"""  # noqa: S608


async def list_deliveries(session: ReadSession, *, wanted: DeliveryFilter, limit: int) -> list[Row]:
    """Deliveries, newest first."""
    return await session.fetch(
        _DELIVERIES,
        wanted.tenant_id,
        wanted.after,
        wanted.status,
        wanted.type,
        wanted.endpoint_id,
        wanted.job_id,
        wanted.event_id,
        wanted.created_after,
        limit,
    )


async def get_delivery(session: ReadSession, *, tenant_id: UUID, delivery_id: UUID) -> Row:
    """One delivery; raises DeliveryNotFound."""
    row = await session.fetchrow(
        f"{_DELIVERY} WHERE delivery.id = $1 AND delivery.tenant_id = $2", delivery_id, tenant_id
    )
    if row is None:
        raise DeliveryNotFound
    return row


async def list_attempts(session: ReadSession, *, delivery_id: UUID) -> list[Row]:
    """What was tried of one delivery, in order."""
    sql = "SELECT * FROM webhook_attempts WHERE delivery_id = $1 ORDER BY attempt"
    return await session.fetch(sql, delivery_id)
