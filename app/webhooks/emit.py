"""Events are written in the transaction of what they tell of, with a delivery for everybody who asked for them."""

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
    """Something that happened to a job. sequence: rises with every event of the job."""

    tenant_id: UUID
    job_id: UUID
    type: EventType
    sequence: int


class _Event(NamedTuple):
    """As `emit_job_events.sql` asks for it."""

    id: UUID
    tenant_id: UUID
    job_id: UUID
    type: str
    sequence: int


_SQL = SqlFolder(__file__)
_EMIT_JOB_EVENTS = _SQL.query("emit_job_events", int)
_EMIT_TENANT_EVENT = _SQL.query("emit_tenant_event", UUID)


async def emit_job_events(session: Session, *, events: Sequence[JobEvent]) -> int:
    """Write these down; gives how many deliveries are due at once, for which somebody should ring. One statement.

    An event of the same job and type that is there already is left out.
    """
    rows = [_Event(new_id(), event.tenant_id, event.job_id, event.type, event.sequence) for event in events]
    return await session.get_value(_EMIT_JOB_EVENTS, **columns_of(_Event, rows))


async def emit_tenant_event(
    session: Session, *, tenant_id: UUID, type_: EventType, data: dict[str, object], endpoint_id: UUID | None = None
) -> list[UUID]:
    """Write down what happened to a tenant, for those who asked, or for one endpoint; the deliveries' ids. One statement."""
    body = event_body(type_=type_, at=clock.now(), sequence=1, data=[orjson.dumps(data)])
    return await session.values(
        _EMIT_TENANT_EVENT, event_id=new_id(), tenant_id=tenant_id, type=type_, body=body, endpoint_id=endpoint_id
    )


@dataclass(frozen=True, slots=True)
class JobWebhook:
    """Whom to tell of one job, besides the tenant's endpoints, and of what."""

    url: str
    events: tuple[str, ...] = BY_DEFAULT

    def row(self, tenant_id: UUID) -> tuple[UUID, str, str]:
        """As the statement that stores the job asks for it: target, URL, events in a comma list."""
        return target_of_job_url(tenant_id, self.url), self.url, ",".join(self.events)


def target_of_job_url(tenant_id: UUID, url: str) -> UUID:
    """The id of the target that the URL of a single job belongs to: one for each server and tenant."""
    return uuid5(tenant_id, parse_url(url).origin)
