"""Routes of the native surface for what happened: the feed of events, and their deliveries."""

from functools import partial
from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.api.routes import ALWAYS
from app.api.webhook_bodies import render_events
from app.api.webhook_routes import WRITES, Limit, database_of, reading, writing
from app.core.db import Row, patiently
from app.core.errors import Malformed, Problem
from app.core.ids import Prefix, find_id, show_id
from app.core.paging import LIMIT_DEFAULT, Page, cut_page, parse_cursor
from app.core.problems import documented
from app.core.query import CheckedRoute
from app.core.requests import malformed
from app.webhooks import operations
from app.webhooks.claims import EventHead, freeze_bodies
from app.webhooks.models import DeliveryStatus, EventType
from app.webhooks.operations import DeliveryUnderWay, EndpointDisabled
from app.webhooks.queries import (
    DeliveryFilter,
    DeliveryNotFound,
    find_position,
    get_delivery,
    list_attempts,
    list_deliveries,
    list_events,
)
from app.webhooks.schemas import DeliveryOut, DeliveryTold, EventPage, event_page_body

router = APIRouter(prefix="/api/v1", tags=["webhooks"], route_class=CheckedRoute)


def _delivery_id(shown: str) -> UUID:
    delivery_id = find_id("dlv", shown)
    if delivery_id is None:
        raise DeliveryNotFound
    return delivery_id


@router.get("/events", response_class=Response, responses={200: {"model": EventPage}, **documented(*ALWAYS)})
async def read_events(
    request: Request, after: str | None = None, cursor: str | None = None, limit: Limit = LIMIT_DEFAULT
) -> Response:
    """What has happened, oldest first, without gaps: go on with the id of the last event as `after`."""
    principal = await reading(request)
    after_id = _after(after if after is not None else cursor)

    async def read() -> list[tuple[str, bytes]]:
        async with database_of(request).snapshot(principal.tenant_id) as session:
            position: int | None = 0
            if after_id is not None:
                position = await find_position(session, tenant_id=principal.tenant_id, event_id=after_id)
            if position is None:
                raise _unknown_event()
            rows = await list_events(session, tenant_id=principal.tenant_id, after=position, limit=limit + 1)
            # within the tenant's share of reads: bodies that nobody has seen yet take a connection that writes, too
            bodies = await _frozen(request, principal.tenant_id, rows)
        return [(show_id("evt", row["id"]), bodies[row["id"]]) for row in rows]

    page = cut_page(await patiently(read), limit=limit, cursor_of=lambda event: event[0])
    return Response(event_page_body(page.items, next_cursor=page.next_cursor), media_type="application/json")


def _after(shown: str | None) -> UUID | None:
    if not shown:
        return None
    event_id = find_id("evt", shown)
    if event_id is None:
        raise _unknown_event()
    return event_id


def _unknown_event() -> Malformed:
    return Malformed("after: no event of yours", problems=[Problem("query after", "expected the id of an event")])


async def _frozen(request: Request, tenant_id: UUID, rows: list[Row]) -> dict[UUID, bytes]:
    """The events' bodies; those that nobody has been shown yet are frozen now."""
    bodies = {row["id"]: row["body"] for row in rows if row["body"] is not None}
    new = [
        EventHead(row["id"], row["type"], row["job_id"], row["sequence"], row["created_at"])
        for row in rows
        if row["body"] is None
    ]
    if new:
        render = partial(render_events, base_url=request.app.state.public_url)
        async with database_of(request).transaction_of(tenant_id) as session:
            bodies |= await freeze_bodies(session, bodies=await render(session, new))
    return bodies


@router.get("/deliveries", responses=documented(*ALWAYS))
async def read_deliveries(
    request: Request,
    status: DeliveryStatus | None = None,
    type: EventType | None = None,
    endpoint_id: str | None = None,
    job_id: str | None = None,
    event_id: str | None = None,
    cursor: str | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> Page[DeliveryOut]:
    """What was delivered or is to be, newest first."""
    principal = await reading(request)
    wanted = DeliveryFilter(
        tenant_id=principal.tenant_id,
        after=parse_cursor("dlv", cursor),
        status=status,
        type=type,
        endpoint_id=filter_id("whe", endpoint_id, "query endpoint_id"),
        job_id=filter_id("job", job_id, "query job_id"),
        event_id=filter_id("evt", event_id, "query event_id"),
    )

    async def read() -> list[Row]:
        async with database_of(request).snapshot(principal.tenant_id) as session:
            return await list_deliveries(session, wanted=wanted, limit=limit + 1)

    found = [DeliveryOut.of(row) for row in await patiently(read)]
    return cut_page(found, limit=limit, cursor_of=lambda delivery: delivery.id)


def filter_id(prefix: Prefix, shown: str | None, where: str) -> UUID | None:
    """The id that a list is filtered by; raises Malformed."""
    if shown is None:
        return None
    found = find_id(prefix, shown)
    if found is None:
        raise malformed(where, f"expected an id that begins with {prefix}_")
    return found


@router.get("/deliveries/{delivery}", responses=documented(*ALWAYS, DeliveryNotFound))
async def read_delivery(request: Request, delivery: str) -> DeliveryTold:
    """One delivery with every attempt of it."""
    principal = await reading(request)
    delivery_id = _delivery_id(delivery)

    async def read() -> DeliveryTold:
        async with database_of(request).snapshot(principal.tenant_id) as session:
            row = await get_delivery(session, tenant_id=principal.tenant_id, delivery_id=delivery_id)
            return DeliveryTold.told(row, await list_attempts(session, delivery_id=delivery_id))

    return await patiently(read)


@router.post(
    "/deliveries/{delivery}/redeliver",
    status_code=202,
    responses=documented(*WRITES, DeliveryNotFound, DeliveryUnderWay, EndpointDisabled),
)
async def redeliver(request: Request, delivery: str) -> DeliveryOut:
    """Deliver it once more, under the same id and with the same bytes, whatever came of it before."""
    principal = await writing(request)
    delivery_id = _delivery_id(delivery)
    async with database_of(request).transaction_of(principal.tenant_id) as session:
        await operations.redeliver(session, tenant_id=principal.tenant_id, delivery_id=delivery_id)
        row = await get_delivery(session, tenant_id=principal.tenant_id, delivery_id=delivery_id)
    request.app.state.doorbell.ring("deliver")
    return DeliveryOut.of(row)
