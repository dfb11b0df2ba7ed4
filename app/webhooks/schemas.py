"""HTTP schemas of endpoints, secrets, events and deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from app.core.faults import Faults
from app.core.ids import show_id
from app.http_client.guard import Guard, UrlRefused, parse_url
from app.web.fields import At
from app.web.requests import malformed, problem
from app.webhooks.emit import JobWebhook
from app.webhooks.listing import Delivery, Endpoint
from app.webhooks.models import (
    OF_JOBS,
    AttemptOutcome,
    DeliveryStatus,
    DisabledReason,
    EventType,
)
from app.webhooks.queries import Attempt

Wanted = Literal["job.completed", "job.failed", "job.canceled", "job.processing", "budget.alert", "endpoint.disabled"]
Text = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EndpointIn(_Body):
    """A new endpoint."""

    url: str = Field(
        description="an https URL with a public address, or one in WEBHOOK_ALLOW_NETWORKS", max_length=2048
    )
    events: list[Wanted] = Field(["job.completed", "job.failed", "job.canceled"], min_length=1, max_length=20)
    description: Text = ""


class EndpointPatch(_Body):
    """The settings to change; what is absent or null stays as it is."""

    url: str | None = Field(None, max_length=2048)
    events: list[Wanted] | None = Field(None, min_length=1, max_length=20)
    description: Text | None = None
    enabled: StrictBool | None = Field(None, description="true also resets the count of failures")


class RecoverIn(_Body):
    """The time from which events are delivered again."""

    since: str = Field(description="RFC 3339")


class EndpointOut(BaseModel):
    """An endpoint, without its secret."""

    id: str = Field(examples=["whe_0198f2c07b7a7c3e9d5b1f0e2a4c6d8e"])
    url: str
    events: list[EventType]
    description: str
    enabled: bool
    disabled_at: At | None
    disabled_reason: DisabledReason | None
    failures: int = Field(description="failed attempts since its last success")
    failing_since: At | None = Field(
        description="the endpoint is disabled five days after this time if no delivery succeeds"
    )
    last_success_at: At | None = Field(description="to the minute")
    created_at: At

    @classmethod
    def fields(cls, endpoint: Endpoint) -> dict[str, Any]:
        """The endpoint as the fields of this model."""
        return {
            **endpoint._asdict(),
            "id": show_id("whe", endpoint.id),
            "enabled": endpoint.disabled_at is None,
            "last_success_at": endpoint.succeeded_at,
        }

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        """The model of an endpoint."""
        return cls(**cls.fields(endpoint))


class EndpointCreated(EndpointOut):
    """A new endpoint: the only time its secret is shown."""

    secret: str = Field(examples=["whsec_…"])

    @classmethod
    def created(cls, endpoint: Endpoint, *, secret: str) -> Self:
        """The model of a new endpoint and its secret."""
        return cls(**cls.fields(endpoint), secret=secret)


class EndpointOfTenant(EndpointOut):
    """An endpoint as operators see it."""

    tenant_id: str
    tenant: str

    @classmethod
    def fields(cls, endpoint: Endpoint) -> dict[str, Any]:
        """The endpoint as the fields of this model."""
        return {**super().fields(endpoint), "tenant_id": show_id("ten", endpoint.tenant_id)}


class SecretOut(BaseModel):
    """The secret that signs deliveries to the webhook URLs of jobs."""

    secret: str


class RotatedOut(BaseModel):
    """A new secret. Until `previous_expires_at` deliveries are also signed with the previous one."""

    secret: str
    previous_expires_at: At


class RecoveredOut(BaseModel):
    """How many deliveries were started."""

    recovered: int


class AttemptOut(BaseModel):
    """One POST of a delivery."""

    attempt: int
    at: At = Field(description="when the attempt ended")
    outcome: AttemptOutcome
    status_code: int | None
    duration_seconds: float | None
    address: str | None = Field(description="the IP address that was called")
    detail: str
    answer: str | None = Field(description="the first 4 kB of the answer")

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        """The model of an attempt."""
        answer = None if attempt.answer is None else attempt.answer.decode("utf-8", "replace")
        return cls.model_validate({**attempt._asdict(), "answer": answer})


class DeliveryOut(BaseModel):
    """One event for one target."""

    id: str = Field(examples=["dlv_0198f2c07b7a7c3e9d5b1f0e2a4c6d8e"])
    event_id: str
    endpoint_id: str | None = Field(description="null: the receiver is the webhook URL of the job")
    job_id: str | None
    type: EventType
    url: str
    status: DeliveryStatus
    attempts: int
    created_at: At
    next_attempt_at: At | None
    delivered_at: At | None
    last_status_code: int | None
    last_error: str | None

    @classmethod
    def fields(cls, delivery: Delivery) -> dict[str, Any]:
        """The delivery as the fields of this model."""
        return {
            **delivery._asdict(),
            "id": show_id("dlv", delivery.id),
            "event_id": show_id("evt", delivery.event_id),
            "endpoint_id": delivery.endpoint_id and show_id("whe", delivery.endpoint_id),
            "job_id": delivery.job_id and show_id("job", delivery.job_id),
            "next_attempt_at": delivery.due_at,
        }

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """The model of a delivery."""
        return cls(**cls.fields(delivery))


class DeliveryOfTenant(DeliveryOut):
    """A delivery as operators see it."""

    tenant_id: str
    tenant: str

    @classmethod
    def fields(cls, delivery: Delivery) -> dict[str, Any]:
        """The delivery as the fields of this model."""
        return {**super().fields(delivery), "tenant_id": show_id("ten", delivery.tenant_id)}


class DeliveryTold(DeliveryOut):
    """A delivery and every attempt of it."""

    attempt_log: list[AttemptOut]

    @classmethod
    def told(cls, delivery: Delivery, attempts: Sequence[Attempt]) -> Self:
        """The model of a delivery with its attempts."""
        return cls(**cls.fields(delivery), attempt_log=[AttemptOut.of(attempt) for attempt in attempts])


class EventOut(BaseModel):
    """An event as webhooks carry it; `id` is its `webhook-id`."""

    id: str = Field(examples=["evt_0198f2c07b7a7c3e9d5b1f0e2a4c6d8e"])
    type: EventType
    timestamp: datetime
    data: dict[str, Any]
    sequence: int


class EventPage(BaseModel):
    """One page of events, oldest first; `next_cursor` is null if there are no newer events yet."""

    items: list[EventOut]
    next_cursor: str | None


def event_page_body(events: Sequence[tuple[str, bytes]], *, next_cursor: str | None) -> bytes:
    """The JSON of a page of events, given as (shown id, frozen body). The bytes of a body are not changed."""
    items = [orjson.Fragment(b'{"id":"%b",%b' % (shown.encode(), body.removeprefix(b"{"))) for shown, body in events]
    return orjson.dumps({"items": items, "next_cursor": next_cursor})


def checked_url(text: Any, guard: Guard, where: str) -> str:
    """Returns a webhook URL that passes the checks possible before a connection. Raises Malformed."""
    if not isinstance(text, str):
        raise malformed(where, "expected a URL")
    try:
        guard.check(parse_url(text))
    except UrlRefused as error:
        raise malformed(where, str(error)) from None
    return text


def checked_job_webhook(url: Any, events: Any, guard: Guard, *, where: tuple[str, str]) -> JobWebhook | None:
    """A job's own webhook. None if neither URL nor events are given. `where`: the two names for errors. Raises Malformed."""
    if url is None and events is None:
        return None
    faults = Faults()
    with faults:
        if url is None:
            raise malformed(where[1], f"expected together with {where[0]}")
        checked_url(url, guard, where[0])
    if events is not None and (
        not isinstance(events, list) or not events or any(event not in list(OF_JOBS) for event in events)
    ):
        faults.problems.append(problem(where[1], f"expected some of {', '.join(OF_JOBS)}, such as {OF_JOBS[0]}"))
    faults.check()
    return JobWebhook(url) if events is None else JobWebhook(url, tuple(dict.fromkeys(events)))
