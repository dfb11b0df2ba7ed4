"""Reads of secrets, events and attempts."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.core.errors import NotFound


class _SealedSecret(NamedTuple):
    """An encrypted secret of a tenant's endpoint. endpoint_id: None: the secret for its jobs' own webhook URLs."""

    tenant_id: UUID
    endpoint_id: UUID | None
    id: UUID
    sealed: bytes


class Event(NamedTuple):
    """An event of a feed. job_id: None for an event of the tenant. body: None if it is not frozen yet."""

    id: UUID
    type: str
    job_id: UUID | None
    sequence: int
    position: int
    created_at: datetime
    body: bytes | None


class Attempt(NamedTuple):
    """One attempt of a delivery. at: when its outcome was recorded. answer: the first bytes of the receiver's body."""

    attempt: int
    at: datetime
    outcome: str
    status_code: int | None
    duration_seconds: float | None
    address: str | None
    detail: str
    answer: bytes | None


_SQL = SqlFolder(__file__)
_LIST_SECRETS = _SQL.query("list_secrets", _SealedSecret)
_LIST_EVENTS = _SQL.query("list_events", Event)
_FIND_POSITION = _SQL.query("find_position", int)
_LIST_ATTEMPTS = _SQL.query("list_attempts", Attempt)
WANTS_START_PART = _SQL.part("wants_start")
"""A part for statements of other rooms. Its file says what it needs."""


class EndpointNotFound(NotFound):
    """404: no endpoint of this tenant has this id."""

    code = "webhook_endpoint_not_found"

    def __init__(self) -> None:
        super().__init__("no such webhook endpoint")


class DeliveryNotFound(NotFound):
    """404: no delivery of this tenant has this id."""

    code = "delivery_not_found"

    def __init__(self) -> None:
        super().__init__("no such delivery")


async def list_secrets(
    session: ReadSession, *, owners: Sequence[tuple[UUID, UUID | None]]
) -> dict[tuple[UUID, UUID | None], list[tuple[UUID, bytes]]]:
    """For each (tenant id, endpoint id or None): the (row id, encrypted secret) pairs that sign now, newest first."""
    rows = await session.rows(
        _LIST_SECRETS, tenant_ids=[tenant for tenant, _ in owners], endpoint_ids=[endpoint for _, endpoint in owners]
    )
    found: dict[tuple[UUID, UUID | None], list[tuple[UUID, bytes]]] = {}
    for row in rows:
        found.setdefault((row.tenant_id, row.endpoint_id), []).append((row.id, row.sealed))
    return found


async def find_position(session: ReadSession, *, tenant_id: UUID, event_id: UUID) -> int | None:
    """The position of an event in its tenant's feed. None if the tenant has no such event."""
    return await session.find_value(_FIND_POSITION, tenant_id=tenant_id, event_id=event_id)


async def list_events(session: ReadSession, *, tenant_id: UUID, after: int, limit: int) -> list[Event]:
    """A tenant's events after the position `after`, in commit order."""
    return await session.rows(_LIST_EVENTS, tenant_id=tenant_id, after=after, limit=limit)


async def list_attempts(session: ReadSession, *, delivery_id: UUID) -> list[Attempt]:
    """The attempts of one delivery, in order."""
    return await session.rows(_LIST_ATTEMPTS, delivery_id=delivery_id)
