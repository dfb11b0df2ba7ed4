"""Routes of the native surface for the feed of events and their deliveries."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from app.api.callers import ALWAYS, Caller, WebhooksReader, WebhooksWriter
from app.api.webhooks.webhook_bodies import render_events
from app.api.webhooks.webhook_routes import WRITES
from app.core.database.session import ReadSession
from app.core.errors import Malformed, Problem
from app.core.ids import Prefix, find_id, show_id
from app.web.dependencies import TheDoorbell
from app.web.paging import LIMIT_DEFAULT, Page, cut_page, parse_cursor
from app.web.problems import documented
from app.web.query import CheckedRoute, Limit
from app.web.requests import malformed
from app.webhooks import operations
from app.webhooks.claims import EventHead, freeze_bodies
from app.webhooks.listing import DeliveryFilter, get_delivery, list_deliveries
from app.webhooks.models import DeliveryStatus, EventType
from app.webhooks.operations import DeliveryUnderWay, EndpointDisabled
from app.webhooks.queries import DeliveryNotFound, Event, find_position, list_attempts, list_events
from app.webhooks.schemas import DeliveryOut, DeliveryTold, EventPage, event_page_body

router = APIRouter(prefix="/api/v1", tags=["webhooks"], route_class=CheckedRoute)


async def _delivery_id(delivery: str) -> UUID:
    delivery_id = find_id("dlv", delivery)
    if delivery_id is None:
        raise DeliveryNotFound
    return delivery_id


DeliveryId = Annotated[UUID, Depends(_delivery_id)]


@router.get("/events", response_class=Response, responses={200: {"model": EventPage}, **documented(*ALWAYS)})
async def read_events(
    request: Request,
    caller: WebhooksReader,
    after: str | None = None,
    cursor: str | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> Response:
    """The tenant's events, oldest first, without gaps. Send the id of the last event as `after` to get the next ones."""
    after_id = _after(after if after is not None else cursor)

    async def read(session: ReadSession) -> list[tuple[str, bytes]]:
        position: int | None = 0
        if after_id is not None:
            position = await find_position(session, tenant_id=caller.tenant_id, event_id=after_id)
        if position is None:
            raise _unknown_event()
        rows = await list_events(session, tenant_id=caller.tenant_id, after=position, limit=limit + 1)
        # inside this read, so that freezing bodies, which needs a second connection, is within the tenant's share of reads
        bodies = await _frozen(caller, rows, base_url=request.app.state.public_url)
        return [(show_id("evt", row.id), bodies[row.id]) for row in rows]

    page = cut_page(await caller.read(read), limit=limit, cursor_of=lambda event: event[0])
    return Response(event_page_body(page.items, next_cursor=page.next_cursor), media_type="application/json")


def _after(shown: str | None) -> UUID | None:
    if not shown:
        return None
    event_id = find_id("evt", shown)
    if event_id is None:
        raise _unknown_event()
    return event_id


def _unknown_event() -> Malformed:
    return Malformed("after: no such event", problems=[Problem("query after", "expected the id of an event")])


async def _frozen(caller: Caller, rows: list[Event], *, base_url: str) -> dict[UUID, bytes]:
    """The bodies of these events, by event id. Freezes those that are not frozen yet."""
    bodies = {row.id: row.body for row in rows if row.body is not None}
    new = [
        EventHead(row.id, row.type, row.job_id, row.sequence, row.created_at)
        for row in rows
        if row.body is None and row.job_id is not None  # an event of a tenant is inserted with its body
    ]
    if new:
        render = partial(render_events, base_url=base_url)
        async with caller.transaction() as session:
            bodies |= await freeze_bodies(session, bodies=await render(session, new))
    return bodies


@router.get("/deliveries", responses=documented(*ALWAYS))
async def read_deliveries(
    caller: WebhooksReader,
    status: DeliveryStatus | None = None,
    type: EventType | None = None,
    endpoint_id: str | None = None,
    job_id: str | None = None,
    event_id: str | None = None,
    cursor: str | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> Page[DeliveryOut]:
    """Deliveries, newest first."""
    wanted = DeliveryFilter(
        tenant_id=caller.tenant_id,
        after=parse_cursor("dlv", cursor),
        status=status,
        type=type,
        endpoint_id=_filter_id("whe", endpoint_id, "query endpoint_id"),
        job_id=_filter_id("job", job_id, "query job_id"),
        event_id=_filter_id("evt", event_id, "query event_id"),
    )
    found = await caller.read(lambda session: list_deliveries(session, wanted=wanted, limit=limit + 1))
    return cut_page([DeliveryOut.of(row) for row in found], limit=limit, cursor_of=lambda delivery: delivery.id)


def _filter_id(prefix: Prefix, shown: str | None, where: str) -> UUID | None:
    """Parses an id that filters a list. Raises Malformed."""
    if shown is None:
        return None
    found = find_id(prefix, shown)
    if found is None:
        raise malformed(where, f"expected an id that begins with {prefix}_")
    return found


@router.get("/deliveries/{delivery}", responses=documented(*ALWAYS, DeliveryNotFound))
async def read_delivery(caller: WebhooksReader, delivery_id: DeliveryId) -> DeliveryTold:
    """One delivery with all its attempts."""

    async def read(session: ReadSession) -> DeliveryTold:
        row = await get_delivery(session, tenant_id=caller.tenant_id, delivery_id=delivery_id)
        return DeliveryTold.told(row, await list_attempts(session, delivery_id=delivery_id))

    return await caller.read(read)


@router.post(
    "/deliveries/{delivery}/redeliver",
    status_code=202,
    responses=documented(*WRITES, DeliveryNotFound, DeliveryUnderWay, EndpointDisabled),
)
async def redeliver(caller: WebhooksWriter, doorbell: TheDoorbell, delivery_id: DeliveryId) -> DeliveryOut:
    """Deliver the event again, with the same id and the same bytes. Allowed in every status of the delivery."""
    async with caller.transaction() as session:
        await operations.redeliver(session, tenant_id=caller.tenant_id, delivery_id=delivery_id)
        row = await get_delivery(session, tenant_id=caller.tenant_id, delivery_id=delivery_id)
    doorbell.ring("deliver")
    return DeliveryOut.of(row)
