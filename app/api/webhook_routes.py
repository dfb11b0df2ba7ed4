"""Routes of the native surface for webhooks: endpoints and secrets."""

from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.api.routes import ALWAYS, authenticated
from app.core.bodies import BODY_REFUSED
from app.core.db import Database, Row, patiently
from app.core.faults import Faults
from app.core.ids import find_id
from app.core.paging import LIMIT_DEFAULT, LIMIT_MAX, Page, cut_page, parse_cursor
from app.core.problems import documented, problems_of
from app.core.query import CheckedRoute
from app.core.requests import checked_instant
from app.tenants.auth import Principal, TenantSuspended
from app.tenants.models import Scope
from app.webhooks import operations
from app.webhooks.emit import emit_tenant_event
from app.webhooks.models import EventType
from app.webhooks.operations import EndpointDisabled, TooManyEndpoints
from app.webhooks.queries import EndpointNotFound, get_delivery, get_endpoint, list_endpoints
from app.webhooks.schemas import (
    DeliveryOut,
    EndpointCreated,
    EndpointIn,
    EndpointOut,
    EndpointPatch,
    RecoveredOut,
    RecoverIn,
    RotatedOut,
    SecretOut,
    checked_url,
)
from app.webhooks.signing import show_secret

router = APIRouter(prefix="/api/v1", tags=["webhooks"], route_class=CheckedRoute)

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]


def database_of(request: Request) -> Database:
    """The API process's database."""
    database: Database = request.app.state.database
    return database


async def reading(request: Request) -> Principal:
    """Who asks, if their key may see webhooks."""
    return await patiently(lambda: authenticated(request, Scope.WEBHOOKS))


async def writing(request: Request) -> Principal:
    """Who asks, if their key may change webhooks."""
    principal = await authenticated(request, Scope.WEBHOOKS)
    principal.require(Scope.WEBHOOKS, writes=True)
    return principal


def _endpoint_id(shown: str) -> UUID:
    endpoint_id = find_id("whe", shown)
    if endpoint_id is None:
        raise EndpointNotFound
    return endpoint_id


Model = TypeVar("Model", bound=BaseModel)


async def body_of(request: Request, principal: Principal, model: type[Model]) -> Model:
    """The request's body, its `url` one that may be called; raises BODY_REFUSED, of these Malformed naming each field."""
    bodies = request.app.state.bodies
    given = await bodies.parse(await bodies.read(request, principal.allowance), principal.allowance)
    faults, body = Faults(), None
    with faults:
        body = _validated(model, given)
    url = given.get("url") if "url" in model.model_fields else None
    if url is not None and "$.url" not in {one.path for one in faults.problems}:
        with faults:
            checked_url(url, request.app.state.guard, "$.url")
    faults.check()
    assert body is not None
    return body


def _validated(model: type[Model], given: dict[str, Any]) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise problems_of(RequestValidationError(found), fields=model.model_fields) from None


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra=` of a route with such a body."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


WRITES = (*ALWAYS, TenantSuspended)


@router.post(
    "/webhook-endpoints",
    status_code=201,
    responses=documented(*WRITES, *BODY_REFUSED, TooManyEndpoints),
    openapi_extra=takes(EndpointIn),
)
async def create_endpoint(request: Request) -> EndpointCreated:
    """Make an endpoint; its secret is shown here and never again."""
    principal = await writing(request)
    body = await body_of(request, principal, EndpointIn)
    async with database_of(request).transaction_of(principal.tenant_id) as session:
        row, secret = await operations.create_endpoint(
            session,
            vault=request.app.state.vault,
            tenant_id=principal.tenant_id,
            url=body.url,
            events=list(dict.fromkeys(body.events)),
            description=body.description,
        )
    return EndpointCreated.created(row, secret=show_secret(secret))


@router.get("/webhook-endpoints", responses=documented(*ALWAYS))
async def read_endpoints(
    request: Request, cursor: str | None = None, limit: Limit = LIMIT_DEFAULT
) -> Page[EndpointOut]:
    """The tenant's endpoints, oldest first."""
    principal = await reading(request)
    after = parse_cursor("whe", cursor)

    async def read() -> list[Row]:
        async with database_of(request).snapshot(principal.tenant_id) as session:
            return await list_endpoints(session, tenant_id=principal.tenant_id, after=after, limit=limit + 1)

    found = [EndpointOut.of(row) for row in await patiently(read)]
    return cut_page(found, limit=limit, cursor_of=lambda endpoint: endpoint.id)


@router.get("/webhook-endpoints/{endpoint}", responses=documented(*ALWAYS, EndpointNotFound))
async def read_endpoint(request: Request, endpoint: str) -> EndpointOut:
    """One endpoint, without its secret."""
    principal = await reading(request)
    endpoint_id = _endpoint_id(endpoint)

    async def read() -> Row:
        async with database_of(request).snapshot(principal.tenant_id) as session:
            return await get_endpoint(session, tenant_id=principal.tenant_id, endpoint_id=endpoint_id)

    return EndpointOut.of(await patiently(read))


@router.patch(
    "/webhook-endpoints/{endpoint}",
    responses=documented(*WRITES, *BODY_REFUSED, EndpointNotFound),
    openapi_extra=takes(EndpointPatch),
)
async def patch_endpoint(request: Request, endpoint: str) -> EndpointOut:
    """Change an endpoint, switch it off, or on again."""
    principal = await writing(request)
    body = await body_of(request, principal, EndpointPatch)
    async with database_of(request).transaction_of(principal.tenant_id) as session:
        row = await operations.update_endpoint(
            session,
            tenant_id=principal.tenant_id,
            endpoint_id=_endpoint_id(endpoint),
            url=body.url,
            events=body.events and list(dict.fromkeys(body.events)),
            description=body.description,
            enabled=body.enabled,
        )
    return EndpointOut.of(row)


@router.delete("/webhook-endpoints/{endpoint}", status_code=204, responses=documented(*WRITES, EndpointNotFound))
async def delete_endpoint(request: Request, endpoint: str) -> Response:
    """Delete an endpoint: nothing more is delivered to it."""
    principal = await writing(request)
    async with database_of(request).transaction_of(principal.tenant_id) as session:
        await operations.delete_endpoint(session, tenant_id=principal.tenant_id, endpoint_id=_endpoint_id(endpoint))
    return Response(status_code=204)


@router.post("/webhook-endpoints/{endpoint}/rotate-secret", responses=documented(*WRITES, EndpointNotFound))
async def rotate_endpoint_secret(request: Request, endpoint: str) -> RotatedOut:
    """A new secret; for 24 hours deliveries are signed with both."""
    return await _rotate(request, _endpoint_id(endpoint))


@router.get("/webhook-secret", responses=documented(*ALWAYS))
async def read_secret(request: Request) -> SecretOut:
    """The secret that signs what goes to URLs of single jobs; it is made when it is first asked for."""
    principal = await authenticated(request, Scope.WEBHOOKS)
    async with database_of(request).transaction_of(principal.tenant_id) as session:
        secret = await operations.ensure_secret(session, vault=request.app.state.vault, tenant_id=principal.tenant_id)
    return SecretOut(secret=show_secret(secret))


@router.post("/webhook-secret/rotate", responses=documented(*WRITES))
async def rotate_secret(request: Request) -> RotatedOut:
    """A new secret for URLs of single jobs; for 24 hours deliveries are signed with both."""
    return await _rotate(request, None)


async def _rotate(request: Request, endpoint_id: UUID | None) -> RotatedOut:
    principal = await writing(request)
    async with database_of(request).transaction_of(principal.tenant_id) as session:
        secret, until = await operations.rotate_secret(
            session, vault=request.app.state.vault, tenant_id=principal.tenant_id, endpoint_id=endpoint_id
        )
    return RotatedOut(secret=show_secret(secret), previous_expires_at=until)


@router.post(
    "/webhook-endpoints/{endpoint}/test",
    status_code=202,
    responses=documented(*WRITES, EndpointNotFound, EndpointDisabled),
)
async def test_endpoint(request: Request, endpoint: str) -> DeliveryOut:
    """Send the endpoint a `webhook.test` event; the delivery log tells what came of it."""
    principal = await writing(request)
    endpoint_id = _endpoint_id(endpoint)
    async with database_of(request).transaction_of(principal.tenant_id) as session:
        row = await get_endpoint(session, tenant_id=principal.tenant_id, endpoint_id=endpoint_id)
        deliveries = await emit_tenant_event(
            session,
            tenant_id=principal.tenant_id,
            type_=EventType.WEBHOOK_TEST,
            data={"endpoint_id": endpoint, "url": row["url"], "message": "It works."},
            endpoint_id=endpoint_id,
        )
        if not deliveries:
            raise EndpointDisabled
        delivery = await get_delivery(session, tenant_id=principal.tenant_id, delivery_id=deliveries[0])
    request.app.state.doorbell.ring("deliver")
    return DeliveryOut.of(delivery)


@router.post(
    "/webhook-endpoints/{endpoint}/recover",
    status_code=202,
    responses=documented(*WRITES, *BODY_REFUSED, EndpointNotFound, EndpointDisabled),
    openapi_extra=takes(RecoverIn),
)
async def recover_endpoint(request: Request, endpoint: str) -> RecoveredOut:
    """Deliver everything since then that the endpoint has missed: what was given up, or happened while it was off."""
    principal = await writing(request)
    body = await body_of(request, principal, RecoverIn)
    since = checked_instant(body.since, "$.since")
    async with database_of(request).transaction_of(principal.tenant_id) as session:
        missed = await operations.recover_endpoint(
            session, tenant_id=principal.tenant_id, endpoint_id=_endpoint_id(endpoint), since=since
        )
    request.app.state.doorbell.ring("deliver")
    return RecoveredOut(recovered=missed)
