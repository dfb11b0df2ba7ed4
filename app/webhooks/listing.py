"""Lists of endpoints and deliveries, for tenants and operators."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, select, tuple_

from app.core.database.select import equal, rows
from app.core.database.session import ReadSession
from app.tenants.tables import tenants
from app.webhooks.models import DeliveryStatus, EventType
from app.webhooks.queries import DeliveryNotFound, EndpointNotFound
from app.webhooks.tables import webhook_deliveries, webhook_endpoints, webhook_targets


class Endpoint(NamedTuple):
    """An endpoint without its secret, with the health of its target."""

    id: UUID
    tenant_id: UUID
    tenant: str
    url: str
    events: list[str]
    description: str
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    failures: int
    failing_since: datetime | None
    succeeded_at: datetime | None


class Delivery(NamedTuple):
    """One event for one target. endpoint_id: None if it goes to the job's own webhook URL."""

    id: UUID
    tenant_id: UUID
    tenant: str
    event_id: UUID
    endpoint_id: UUID | None
    job_id: UUID | None
    type: str
    status: str
    attempts: int
    created_at: datetime
    due_at: datetime | None
    delivered_at: datetime | None
    last_status_code: int | None
    last_error: str | None
    url: str


_endpoint, _target, _delivery = webhook_endpoints.c, webhook_targets.c, webhook_deliveries.c

_ENDPOINTS = (
    select(
        _endpoint.id, _endpoint.tenant_id, tenants.c.name.label("tenant"), _endpoint.url, _endpoint.events,
        _endpoint.description, _endpoint.created_at, _target.disabled_at, _target.disabled_reason, _target.failures,
        _target.failing_since, _target.succeeded_at,
    )
    .join_from(webhook_endpoints, webhook_targets, _target.id == _endpoint.id)
    .join(tenants, tenants.c.id == _endpoint.tenant_id)
    .where(_endpoint.deleted_at.is_(None))
)  # fmt: skip

_DELIVERIES = (
    select(
        _delivery.id, _delivery.tenant_id, tenants.c.name.label("tenant"), _delivery.event_id,
        _endpoint.id.label("endpoint_id"), _delivery.job_id, _delivery.type, _delivery.status, _delivery.attempts,
        _delivery.created_at, _delivery.due_at, _delivery.delivered_at, _delivery.last_status_code, _delivery.last_error,
        func.coalesce(_delivery.url, _endpoint.url).label("url"),
    )
    .join_from(webhook_deliveries, tenants, tenants.c.id == _delivery.tenant_id)
    .outerjoin(webhook_endpoints, _endpoint.id == _delivery.target_id)
)  # fmt: skip


async def get_endpoint(session: ReadSession, *, tenant_id: UUID, endpoint_id: UUID) -> Endpoint:
    """One endpoint; raises EndpointNotFound."""
    found = _ENDPOINTS.where(_endpoint.id == endpoint_id, _endpoint.tenant_id == tenant_id)
    for endpoint in await rows(session, found, Endpoint):
        return endpoint
    raise EndpointNotFound


async def list_endpoints(
    session: ReadSession, *, tenant_id: UUID | None, after: UUID | None, limit: int
) -> list[Endpoint]:
    """A tenant's endpoints, or those of all tenants, oldest first."""
    found = _ENDPOINTS.where(*equal(_endpoint.tenant_id, tenant_id)).order_by(_endpoint.id).limit(limit)
    return await rows(session, found if after is None else found.where(_endpoint.id > after), Endpoint)


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Filter of deliveries; None does not filter. after: the last delivery of the previous page."""

    tenant_id: UUID | None = None
    after: UUID | None = None
    status: DeliveryStatus | None = None
    type: EventType | None = None
    endpoint_id: UUID | None = None
    job_id: UUID | None = None
    event_id: UUID | None = None


async def list_deliveries(session: ReadSession, *, wanted: DeliveryFilter, limit: int) -> list[Delivery]:
    """Deliveries, newest first."""
    found = (
        _DELIVERIES.where(
            *equal(_delivery.tenant_id, wanted.tenant_id),
            *equal(_delivery.status, wanted.status),
            *equal(_delivery.type, wanted.type),
            *equal(_delivery.target_id, wanted.endpoint_id),
            *equal(_delivery.job_id, wanted.job_id),
            *equal(_delivery.event_id, wanted.event_id),
        )
        .order_by(_delivery.created_at.desc(), _delivery.id.desc())
        .limit(limit)
    )
    if wanted.after is not None:
        found = found.where(tuple_(_delivery.created_at, _delivery.id) < _place(wanted.after, wanted.tenant_id))
    return await rows(session, found, Delivery)


def _place(delivery_id: UUID, tenant_id: UUID | None) -> Any:
    """The sort key of a delivery in the list."""
    last = webhook_deliveries.alias("last").c
    found: Select[Any] = select(last.created_at, last.id).where(last.id == delivery_id)
    return found.where(*equal(last.tenant_id, tenant_id)).scalar_subquery()


async def get_delivery(session: ReadSession, *, tenant_id: UUID, delivery_id: UUID) -> Delivery:
    """One delivery; raises DeliveryNotFound."""
    found = _DELIVERIES.where(_delivery.id == delivery_id, _delivery.tenant_id == tenant_id)
    for delivery in await rows(session, found, Delivery):
        return delivery
    raise DeliveryNotFound
