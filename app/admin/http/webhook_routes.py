"""`/admin/v1`: webhook endpoints and deliveries of any tenant."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.admin.auth import OperatorRoute
from app.admin.http.routes import SECURITY
from app.admin.http.schemas import ListQuery
from app.core.errors import Malformed, StoreUnavailable, Unauthorized
from app.core.ids import find_id
from app.tenants.queries import TenantNotFound, get_tenant
from app.web.dependencies import TheDatabase
from app.web.paging import Page, cut_page, parse_cursor
from app.web.problems import documented
from app.webhooks.listing import DeliveryFilter, list_deliveries, list_endpoints
from app.webhooks.models import DeliveryStatus, EventType
from app.webhooks.queries import EndpointNotFound
from app.webhooks.schemas import DeliveryOfTenant, EndpointOfTenant

router = APIRouter(prefix="/admin/v1", tags=["admin"], route_class=OperatorRoute, dependencies=SECURITY)


class OfTenantQuery(ListQuery):
    """Which page, and whose."""

    tenant: str | None = Field(default=None, description="name or id; null: every tenant")


class DeliveriesQuery(OfTenantQuery):
    """Which deliveries."""

    status: DeliveryStatus | None = None
    type: EventType | None = None
    endpoint_id: str | None = None


@router.get("/webhook-endpoints", responses=documented(Malformed, Unauthorized, TenantNotFound, StoreUnavailable))
async def read_webhook_endpoints(
    database: TheDatabase, query: Annotated[OfTenantQuery, Query()]
) -> Page[EndpointOfTenant]:
    """Webhook endpoints, in the order of their creation."""
    after = parse_cursor("whe", query.cursor)
    async with database.snapshot() as session:
        tenant_id = None if query.tenant is None else (await get_tenant(session, name_or_id=query.tenant)).id
        found = await list_endpoints(session, tenant_id=tenant_id, after=after, limit=query.limit + 1)
    return cut_page([EndpointOfTenant.of(row) for row in found], limit=query.limit, cursor_of=lambda one: one.id)


@router.get(
    "/deliveries", responses=documented(Malformed, Unauthorized, TenantNotFound, EndpointNotFound, StoreUnavailable)
)
async def read_deliveries(database: TheDatabase, query: Annotated[DeliveriesQuery, Query()]) -> Page[DeliveryOfTenant]:
    """Deliveries, newest first."""
    endpoint_id = None
    if query.endpoint_id is not None and (endpoint_id := find_id("whe", query.endpoint_id)) is None:
        raise EndpointNotFound
    after = parse_cursor("dlv", query.cursor)
    async with database.snapshot() as session:
        tenant_id = None if query.tenant is None else (await get_tenant(session, name_or_id=query.tenant)).id
        wanted = DeliveryFilter(
            tenant_id=tenant_id, after=after, status=query.status, type=query.type, endpoint_id=endpoint_id
        )
        found = await list_deliveries(session, wanted=wanted, limit=query.limit + 1)
    return cut_page([DeliveryOfTenant.of(row) for row in found], limit=query.limit, cursor_of=lambda one: one.id)
