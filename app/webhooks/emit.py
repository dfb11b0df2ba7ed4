"""Insert events, with a delivery for each target that wants them, in the transaction of the change that they report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID, uuid5

import orjson

from app.core import clock
from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.core.ids import new_id
from app.http_client.guard import parse_url
from app.webhooks.decide import event_body
from app.webhooks.models import BY_DEFAULT, EventType


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job. sequence: rises with each event of the job."""

    tenant_id: UUID
    job_id: UUID
    type: EventType
    sequence: int


class _Event(NamedTuple):
    """An input row of `emit_job_events.sql`."""

    id: UUID
    tenant_id: UUID
    job_id: UUID
    type: str
    sequence: int


_SQL = SqlFolder(__file__)
_EMIT_JOB_EVENTS = _SQL.query("emit_job_events", int)
_EMIT_TENANT_EVENT = _SQL.query("emit_tenant_event", UUID)


async def emit_job_events(session: Session, *, events: Sequence[JobEvent]) -> int:
    """Insert these events. Returns the number of new deliveries; if any, the caller sends a notification. One statement.

    An event is skipped if the job has one of the same type.
    """
    rows = [_Event(new_id(), event.tenant_id, event.job_id, event.type, event.sequence) for event in events]
    return await session.get_value(_EMIT_JOB_EVENTS, **columns_of(_Event, rows))


async def emit_tenant_event(
    session: Session, *, tenant_id: UUID, type_: EventType, data: dict[str, object], endpoint_id: UUID | None = None
) -> list[UUID]:
    """Insert an event of a tenant, for the endpoints that want its type, or only for `endpoint_id`. Returns the ids of the
    deliveries. One statement."""
    body = event_body(type_=type_, at=clock.now(), sequence=1, data=[orjson.dumps(data)])
    return await session.values(
        _EMIT_TENANT_EVENT, event_id=new_id(), tenant_id=tenant_id, type=type_, body=body, endpoint_id=endpoint_id
    )


@dataclass(frozen=True, slots=True)
class JobWebhook:
    """A job's own webhook URL and its event types, in addition to the tenant's endpoints."""

    url: str
    events: tuple[str, ...] = BY_DEFAULT

    def row(self, tenant_id: UUID) -> tuple[UUID, str, str]:
        """The values for the statement that inserts the job: target id, URL, comma-separated event types."""
        return target_of_job_url(tenant_id, self.url), self.url, ",".join(self.events)


def target_of_job_url(tenant_id: UUID, url: str) -> UUID:
    """The target id of a job's own webhook URL. All URLs of one tenant at one server have the same target."""
    return uuid5(tenant_id, parse_url(url).origin)
