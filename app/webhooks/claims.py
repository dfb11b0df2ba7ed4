"""Claim deliveries, and return claims that were not finished."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder, columns_of
from app.webhooks.decide import BREAKER_FAILURES, SLOTS_HEALTHY, SLOTS_TENANT, SLOTS_UNKNOWN

LEASE_SECONDS = 30.0
"""An attempt takes at most 15 seconds, and is recorded immediately."""

EXHAUST_MAX = 1000


class ClaimedDelivery(NamedTuple):
    """A delivery that this process has claimed. to_endpoint: it goes to an endpoint, not to a job's own webhook URL. body:
    None if it is not frozen yet."""

    id: UUID
    fence: int
    attempts: int
    step: int
    event_id: UUID
    target_id: UUID
    tenant_id: UUID
    job_id: UUID | None
    type: str
    to_endpoint: bool
    url: str
    sequence: int
    created_at: datetime
    body: bytes | None

    @property
    def endpoint_id(self) -> UUID | None:
        """The endpoint that it goes to. None for a job's own webhook URL."""
        return self.target_id if self.to_endpoint else None


class NextTimes(NamedTuple):
    """Seconds until the earliest delivery is due, and until the earliest lease expires. None if there is none."""

    due_seconds: float | None
    expires_seconds: float | None


@dataclass(frozen=True, slots=True)
class EventHead:
    """An event without its body."""

    id: UUID
    type: str
    job_id: UUID
    sequence: int
    created_at: datetime


class _Body(NamedTuple):
    """The body of an event."""

    id: UUID
    body: bytes


_SQL = SqlFolder(__file__)
_CLAIM_DELIVERIES = _SQL.query("claim_deliveries", ClaimedDelivery)
_GIVE_BACK = _SQL.command("give_back")
_GIVE_BACK_EXPIRED = _SQL.command("give_back_expired")
_FIND_NEXT_TIMES = _SQL.query("find_next_times", NextTimes)
_EXHAUST_DISABLED = _SQL.command("exhaust_disabled")
_FREEZE_BODIES = _SQL.command("freeze_bodies")
_READ_BODIES = _SQL.query("read_bodies", _Body)


async def claim_deliveries(session: Session, *, owner: UUID, deliveries_max: int) -> list[ClaimedDelivery]:
    """Claim up to `deliveries_max` due deliveries for LEASE_SECONDS. One statement."""
    return await session.rows(
        _CLAIM_DELIVERIES, deliveries_max=deliveries_max, owner=owner, lease_seconds=LEASE_SECONDS, breaker_failures=BREAKER_FAILURES,
        slots_healthy=SLOTS_HEALTHY, slots_unknown=SLOTS_UNKNOWN, slots_tenant=SLOTS_TENANT,
    )  # fmt: skip


async def give_back(session: Session, *, owner: UUID) -> int:
    """Make the unfinished deliveries of this process due again. Returns how many. One statement."""
    return await session.run(_GIVE_BACK, owner=owner)


async def give_back_expired(session: Session) -> int:
    """Make deliveries due again whose lease has expired. Returns how many. One statement."""
    return await session.run(_GIVE_BACK_EXPIRED)


async def find_next_times(session: Session) -> NextTimes:
    """Find when the next work is due. One statement."""
    return await session.get_row(_FIND_NEXT_TIMES)


async def exhaust_disabled(session: Session) -> int:
    """Mark pending deliveries to disabled endpoints as exhausted. Returns how many, at most EXHAUST_MAX. One statement."""
    return await session.run(_EXHAUST_DISABLED, deliveries_max=EXHAUST_MAX)


async def freeze_bodies(session: Session, *, bodies: dict[UUID, bytes]) -> dict[UUID, bytes]:
    """Freeze these bodies of events. Returns the frozen ones; another process may have frozen others before."""
    ids = sorted(bodies)
    await session.run(_FREEZE_BODIES, **columns_of(_Body, [_Body(one, bodies[one]) for one in ids]))
    return await read_bodies(session, event_ids=ids)


async def read_bodies(session: ReadSession, *, event_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """The frozen bodies of these events."""
    return {row.id: row.body for row in await session.rows(_READ_BODIES, event_ids=list(event_ids))}
