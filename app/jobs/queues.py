"""The queues of tenants, and of keys that have their own limits: how many jobs each has queued, and how many it may have.

The statements that change jobs also count them: see the part `counted`. A claim locks queues first. It never waits for a locked
job: it skips it. It does not wait long for a queue.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder
from app.core.errors import Refusal

QUEUE_FULL_SECONDS = 5
"""The retry-after of a full queue. It is rough: the queue empties as jobs end."""


class QueueFull(Refusal):
    """429: the queue has as many jobs as it may have."""

    status = 429
    code = "queue_full"

    def __init__(self, *, of: str, queued: int, max_queued: int) -> None:
        """`of`: "tenant" or "key"."""
        super().__init__(
            f"queue full: {queued} of {max_queued} jobs of this {of} waiting; try again when some have been sent",
            retry_after_seconds=QUEUE_FULL_SECONDS,
            extra={"limit": "max_queued", "of": of, "max_queued": max_queued},
        )


class _PlaceRow(NamedTuple):
    subject_id: UUID
    tenant_id: UUID
    queued: int
    max_queued: int | None


_SQL = SqlFolder(__file__)
_LOOK_AT_PLACES = _SQL.query("look_at_places", _PlaceRow)
_LOCK_PLACES = _SQL.query("lock_places", _PlaceRow)
_LOCK_QUEUES = _SQL.command("lock_queues")
_IS_KEY_FULL = _SQL.query("is_key_full", bool)


@dataclass(slots=True)
class Place:
    """How many jobs of a tenant or key are queued, and how many may be (None: any number)."""

    of: str
    queued: int
    max_queued: int | None

    def admit(self) -> QueueFull | None:
        """Return why one more job may not be queued. `take` counts it."""
        if self.max_queued is None or self.queued < self.max_queued:
            return None
        return QueueFull(of=self.of, queued=self.queued, max_queued=self.max_queued)


class Places:
    """The queues of the tenants and keys of one group of submits, filled as these are judged."""

    def __init__(self, places: dict[UUID, Place]) -> None:
        self._places = places

    def admit(self, *, tenant_id: UUID, key_id: UUID) -> QueueFull | None:
        """Return why a job may not be queued in addition to those taken so far, or None."""
        for place in self._of(tenant_id, key_id):
            if (refusal := place.admit()) is not None:
                return refusal
        return None

    def take(self, *, tenant_id: UUID, key_id: UUID) -> None:
        """Count one more queued job."""
        for place in self._of(tenant_id, key_id):
            place.queued += 1

    def _of(self, tenant_id: UUID, key_id: UUID) -> list[Place]:
        return [self._places[subject_id] for subject_id in (tenant_id, key_id) if subject_id in self._places]


async def lock_places(session: Session, *, subject_ids: Iterable[UUID], lock_seconds: float) -> Places:
    """Lock these queues until the transaction ends, and return them. A key without its own limits has none. One statement. It,
    and the rest of the transaction, waits at most `lock_seconds` for each lock, and then raises
    asyncpg.LockNotAvailableError."""
    return _places(await session.rows(_LOCK_PLACES, subject_ids=list(set(subject_ids)), lock_seconds=lock_seconds))


async def lock_queues(session: Session, *, tenant_id: UUID, lock_seconds: float) -> None:
    """Lock the queues of a tenant and of its keys until the transaction ends. One statement. It, and the rest of the transaction,
    waits at most `lock_seconds` for each lock, and then raises asyncpg.LockNotAvailableError."""
    await session.run(_LOCK_QUEUES, tenant_id=tenant_id, lock_seconds=lock_seconds)


async def look_at_places(session: ReadSession, *, subject_ids: Iterable[UUID]) -> Places:
    """Return the queues, not locked: another submit may take the last places. One statement."""
    return _places(await session.rows(_LOOK_AT_PLACES, subject_ids=list(set(subject_ids))))


async def key_is_full(session: ReadSession, *, key_id: UUID) -> bool:
    """Whether a key has as many jobs in flight as its own limit allows. One statement."""
    full = await session.find_value(_IS_KEY_FULL, key_id=key_id)
    return bool(full)


def _places(rows: Sequence[_PlaceRow]) -> Places:
    return Places(
        {
            row.subject_id: Place("tenant" if row.subject_id == row.tenant_id else "key", row.queued, row.max_queued)
            for row in rows
        }
    )
