"""Routes of the native surface for webhooks: endpoints and secrets."""

from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.api.callers import ALWAYS, Caller, WebhooksReader, WebhooksWriter
from app.core.faults import Faults
from app.core.ids import find_id, show_id
from app.tenants.auth import TenantSuspended
from app.web.bodies import BODY_REFUSED
from app.web.dependencies import TheDoorbell
from app.web.paging import LIMIT_DEFAULT, Page, cut_page, parse_cursor
from app.web.problems import documented, problems_of
from app.web.query import CheckedRoute, Limit
from app.web.requests import checked_instant
from app.webhooks import operations
from app.webhooks.emit import emit_tenant_event
from app.webhooks.listing import get_delivery, get_endpoint, list_endpoints
from app.webhooks.models import EventType
from app.webhooks.operations import EndpointDisabled, TooManyEndpoints
from app.webhooks.queries import EndpointNotFound
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
from app.webhooks.secrets import Vault
from app.webhooks.signing import show_secret

router = APIRouter(prefix="/api/v1", tags=["webhooks"], route_class=CheckedRoute)

WRITES = (*ALWAYS, TenantSuspended)


async def _endpoint_id(endpoint: str) -> UUID:
    endpoint_id = find_id("whe", endpoint)
    if endpoint_id is None:
        raise EndpointNotFound
    return endpoint_id


async def _vault(request: Request) -> Vault:
    vault: Vault = request.app.state.vault
    return vault


EndpointId = Annotated[UUID, Depends(_endpoint_id)]
TheVault = Annotated[Vault, Depends(_vault)]

Model = TypeVar("Model", bound=BaseModel)


def body_of(model: type[Model]) -> Any:
    """The dependency of a route whose body is this model. It also checks that `url` may be called. Raises the refusals in
    BODY_REFUSED; Malformed names each wrong field."""

    async def body(request: Request, caller: WebhooksWriter) -> Model:
        bodies, allowance = request.app.state.bodies, caller.principal.allowance
        given = await bodies.parse(await bodies.read(request, allowance), allowance)
        faults, read = Faults(), None
        with faults:
            read = _validated(model, given)
        url = given.get("url") if "url" in model.model_fields else None
        if url is not None and "$.url" not in {problem.path for problem in faults.problems}:
            with faults:
                checked_url(url, request.app.state.guard, "$.url")
        faults.check()
        assert read is not None
        return read

    return Depends(body)


def _validated(model: type[Model], given: dict[str, Any]) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise problems_of(RequestValidationError(found), fields=model.model_fields) from None


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra=` of a route whose body is this model."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@router.post(
    "/webhook-endpoints",
    status_code=201,
    responses=documented(*WRITES, *BODY_REFUSED, TooManyEndpoints),
    openapi_extra=takes(EndpointIn),
)
async def create_endpoint(
    caller: WebhooksWriter, vault: TheVault, body: Annotated[EndpointIn, body_of(EndpointIn)]
) -> EndpointCreated:
    """Create an endpoint. Its secret is shown only in this answer."""
    async with caller.transaction() as session:
        endpoint_id, secret = await operations.create_endpoint(
            session,
            vault=vault,
            tenant_id=caller.tenant_id,
            url=body.url,
            events=list(dict.fromkeys(body.events)),
            description=body.description,
        )
        row = await get_endpoint(session, tenant_id=caller.tenant_id, endpoint_id=endpoint_id)
    return EndpointCreated.created(row, secret=show_secret(secret))


@router.get("/webhook-endpoints", responses=documented(*ALWAYS))
async def read_endpoints(
    caller: WebhooksReader, cursor: str | None = None, limit: Limit = LIMIT_DEFAULT
) -> Page[EndpointOut]:
    """The tenant's endpoints, oldest first."""
    after = parse_cursor("whe", cursor)
    found = await caller.read(
        lambda session: list_endpoints(session, tenant_id=caller.tenant_id, after=after, limit=limit + 1)
    )
    return cut_page([EndpointOut.of(row) for row in found], limit=limit, cursor_of=lambda endpoint: endpoint.id)


@router.get("/webhook-endpoints/{endpoint}", responses=documented(*ALWAYS, EndpointNotFound))
async def read_endpoint(caller: WebhooksReader, endpoint_id: EndpointId) -> EndpointOut:
    """One endpoint, without its secret."""
    row = await caller.read(lambda session: get_endpoint(session, tenant_id=caller.tenant_id, endpoint_id=endpoint_id))
    return EndpointOut.of(row)


@router.patch(
    "/webhook-endpoints/{endpoint}",
    responses=documented(*WRITES, *BODY_REFUSED, EndpointNotFound),
    openapi_extra=takes(EndpointPatch),
)
async def patch_endpoint(
    caller: WebhooksWriter, body: Annotated[EndpointPatch, body_of(EndpointPatch)], endpoint_id: EndpointId
) -> EndpointOut:
    """Change, disable or enable an endpoint."""
    async with caller.transaction() as session:
        await operations.update_endpoint(
            session,
            tenant_id=caller.tenant_id,
            endpoint_id=endpoint_id,
            url=body.url,
            events=body.events and list(dict.fromkeys(body.events)),
            description=body.description,
            enabled=body.enabled,
        )
        row = await get_endpoint(session, tenant_id=caller.tenant_id, endpoint_id=endpoint_id)
    return EndpointOut.of(row)


@router.delete("/webhook-endpoints/{endpoint}", status_code=204, responses=documented(*WRITES, EndpointNotFound))
async def delete_endpoint(caller: WebhooksWriter, endpoint_id: EndpointId) -> Response:
    """Delete an endpoint. Nothing more is delivered to it."""
    async with caller.transaction() as session:
        await operations.delete_endpoint(session, tenant_id=caller.tenant_id, endpoint_id=endpoint_id)
    return Response(status_code=204)


@router.post("/webhook-endpoints/{endpoint}/rotate-secret", responses=documented(*WRITES, EndpointNotFound))
async def rotate_endpoint_secret(caller: WebhooksWriter, vault: TheVault, endpoint_id: EndpointId) -> RotatedOut:
    """Create a new secret. For 24 hours deliveries are signed with both."""
    return await _rotate(caller, vault, endpoint_id)


@router.get("/webhook-secret", responses=documented(*ALWAYS))
async def read_secret(caller: WebhooksReader, vault: TheVault) -> SecretOut:
    """The secret that signs deliveries to the webhook URLs of jobs. It is created by the first request."""
    async with caller.transaction() as session:
        secret = await operations.ensure_secret(session, vault=vault, tenant_id=caller.tenant_id)
    return SecretOut(secret=show_secret(secret))


@router.post("/webhook-secret/rotate", responses=documented(*WRITES))
async def rotate_secret(caller: WebhooksWriter, vault: TheVault) -> RotatedOut:
    """Create a new secret for the webhook URLs of jobs. For 24 hours deliveries are signed with both."""
    return await _rotate(caller, vault, None)


async def _rotate(caller: Caller, vault: Vault, endpoint_id: UUID | None) -> RotatedOut:
    async with caller.transaction() as session:
        secret, until = await operations.rotate_secret(
            session, vault=vault, tenant_id=caller.tenant_id, endpoint_id=endpoint_id
        )
    return RotatedOut(secret=show_secret(secret), previous_expires_at=until)


@router.post(
    "/webhook-endpoints/{endpoint}/test",
    status_code=202,
    responses=documented(*WRITES, EndpointNotFound, EndpointDisabled),
)
async def send_test_event(caller: WebhooksWriter, doorbell: TheDoorbell, endpoint_id: EndpointId) -> DeliveryOut:
    """Send a `webhook.test` event to the endpoint. The delivery log shows the result."""
    async with caller.transaction() as session:
        row = await get_endpoint(session, tenant_id=caller.tenant_id, endpoint_id=endpoint_id)
        deliveries = await emit_tenant_event(
            session,
            tenant_id=caller.tenant_id,
            type_=EventType.WEBHOOK_TEST,
            data={"endpoint_id": show_id("whe", endpoint_id), "url": row.url, "message": "It works."},
            endpoint_id=endpoint_id,
        )
        if not deliveries:
            raise EndpointDisabled
        delivery = await get_delivery(session, tenant_id=caller.tenant_id, delivery_id=deliveries[0])
    doorbell.ring("deliver")
    return DeliveryOut.of(delivery)


@router.post(
    "/webhook-endpoints/{endpoint}/recover",
    status_code=202,
    responses=documented(*WRITES, *BODY_REFUSED, EndpointNotFound, EndpointDisabled),
    openapi_extra=takes(RecoverIn),
)
async def recover_endpoint(
    caller: WebhooksWriter,
    doorbell: TheDoorbell,
    body: Annotated[RecoverIn, body_of(RecoverIn)],
    endpoint_id: EndpointId,
) -> RecoveredOut:
    """Deliver the events since `since` that the endpoint missed: exhausted deliveries, and events while it was disabled."""
    since = checked_instant(body.since, "$.since")
    async with caller.transaction() as session:
        missed = await operations.recover_endpoint(
            session, tenant_id=caller.tenant_id, endpoint_id=endpoint_id, since=since
        )
    doorbell.ring("deliver")
    return RecoveredOut(recovered=missed)
