"""The queues of tenants and of keys with limits of their own: who may have how many jobs waiting, and how many has.

`transitions` counts the jobs. A claim locks queues first and never waits for a job: it passes over those that are locked. Nor
does it wait long for a queue.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.core.db import ReadSession, Row, Session
from app.core.errors import Refusal
from app.jobs.line import NO_LIMIT
from app.jobs.transitions import counts

QUEUE_FULL_SECONDS = 5
"""When to come back to a full queue: it empties at the pace of runs, which nobody knows to the second."""

KEY_HAS_ROOM = f"kept_out AND in_flight + ready < coalesce(max_in_flight, {NO_LIMIT})"
"""Of a row of queues: whether a key has room for jobs of its own that are out of line."""


class QueueFull(Refusal):
    """429: as many jobs wait as may."""

    status = 429
    code = "queue_full"

    def __init__(self, *, of: str, max_queued: int) -> None:
        """`of`: tenant or key."""
        super().__init__(
            f"this {of} may have {max_queued} jobs waiting, and has; come back when some have been sent",
            retry_after_seconds=QUEUE_FULL_SECONDS,
            extra={"limit": "max_queued", "of": of, "max_queued": max_queued},
        )


def set_patience(lock_seconds: str) -> str:
    """A query that limits how long the transaction waits for each lock from there on; its one row says that it is so. 0: no
    limit. Whoever locks must look at that row first."""
    return f"SELECT set_config('lock_timeout', (1000 * {lock_seconds})::integer || 'ms', true) IS NOT NULL AS taken"


def places_ctes(lock: str, *, lock_seconds: str) -> str:
    """CTEs for a statement that has one `asked` of new jobs. `roomy` gives the tenants all of whose jobs find room, and
    `places` the queues, locked, with their counts. `lock`: how these and those of keys are locked; a tenant one of whose queues
    is passed over is not among the roomy. `lock_seconds`: how long the statement waits for a lock; then
    asyncpg.LockNotAvailableError."""
    return f"""patience AS MATERIALIZED ({set_patience(lock_seconds)}), newcomers AS (
    SELECT subject_id, tenant_id, count(*) AS jobs
    FROM asked CROSS JOIN LATERAL (VALUES (tenant_id), (key_id)) AS subject (subject_id)
    GROUP BY subject_id, tenant_id
), places AS MATERIALIZED (
    SELECT subject_id, max_queued, {", ".join(counts())} FROM queues
    WHERE subject_id = ANY (ARRAY(SELECT subject_id FROM newcomers)) AND (SELECT taken FROM patience)
    ORDER BY subject_id {lock}
), roomy AS MATERIALIZED (
    SELECT tenant_id FROM newcomers LEFT JOIN places USING (subject_id) GROUP BY tenant_id
    HAVING bool_and(CASE
        WHEN queued IS NULL THEN NOT EXISTS (SELECT FROM queues WHERE queues.subject_id = newcomers.subject_id)
        ELSE queued + jobs <= coalesce(max_queued, {NO_LIMIT})
    END)
)"""  # noqa: S608


_LOOK_AT_PLACES = """
SELECT subject_id, tenant_id, queued, max_queued FROM queues
WHERE subject_id = ANY($1::uuid[])
"""
_LOCK_PLACES = f"""
WITH patience AS MATERIALIZED ({set_patience("$2::double precision")})
{_LOOK_AT_PLACES} AND (SELECT taken FROM patience)
ORDER BY subject_id FOR UPDATE
"""  # noqa: S608


@dataclass(slots=True)
class Place:
    """How many jobs of a tenant or key wait, and how many may; None: any number. Locked by whoever has it."""

    of: str
    queued: int
    max_queued: int | None

    def admit(self) -> QueueFull | None:
        """Why one more may not wait. It is counted by `take`."""
        if self.max_queued is None or self.queued < self.max_queued:
            return None
        return QueueFull(of=self.of, max_queued=self.max_queued)


class Places:
    """The locked queues of all whose jobs come in one group, filled as they are judged one by one."""

    def __init__(self, places: dict[UUID, Place]) -> None:
        self._places = places

    def admit(self, *, tenant_id: UUID, key_id: UUID) -> QueueFull | None:
        """Why a job of this tenant and key may not wait with those taken so far."""
        for place in self._of(tenant_id, key_id):
            if (refusal := place.admit()) is not None:
                return refusal
        return None

    def take(self, *, tenant_id: UUID, key_id: UUID) -> None:
        """It waits."""
        for place in self._of(tenant_id, key_id):
            place.queued += 1

    def _of(self, tenant_id: UUID, key_id: UUID) -> list[Place]:
        return [self._places[subject_id] for subject_id in (tenant_id, key_id) if subject_id in self._places]


async def lock_places(session: Session, *, subject_ids: Iterable[UUID], lock_seconds: float) -> Places:
    """The queues of these tenants and keys, locked until the transaction ends; a key without limits has none. One
    statement. It, and the rest of the transaction, waits `lock_seconds` for each lock that somebody holds; then
    asyncpg.LockNotAvailableError."""
    return _places(await session.fetch(_LOCK_PLACES, list(set(subject_ids)), lock_seconds))


_LOCK_QUEUES = f"""
WITH patience AS MATERIALIZED ({set_patience("$2::double precision")})
SELECT FROM queues WHERE tenant_id = $1 AND (SELECT taken FROM patience)
ORDER BY subject_id FOR UPDATE
"""  # noqa: S608


async def lock_queues(session: Session, *, tenant_id: UUID, lock_seconds: float) -> None:
    """Lock a tenant's queue and those of its keys until the transaction ends. It, and the rest of the transaction, waits
    `lock_seconds` for each lock that somebody holds; then asyncpg.LockNotAvailableError. One statement."""
    await session.fetch(_LOCK_QUEUES, tenant_id, lock_seconds)


async def look_at_places(session: ReadSession, *, subject_ids: Iterable[UUID]) -> Places:
    """The same, as they stand and not locked: another may take what is left. One statement."""
    return _places(await session.fetch(_LOOK_AT_PLACES, list(set(subject_ids))))


_KEY_FULL = "SELECT in_flight + claimed >= max_in_flight FROM queues WHERE subject_id = $1 AND subject_id <> tenant_id"


async def key_is_full(session: ReadSession, *, key_id: UUID) -> bool:
    """Whether a key has as many jobs in flight as it may itself. One statement."""
    return bool(await session.fetchval(_KEY_FULL, key_id))


def _places(rows: Sequence[Row]) -> Places:
    return Places(
        {
            row["subject_id"]: Place(
                "tenant" if row["subject_id"] == row["tenant_id"] else "key", row["queued"], row["max_queued"]
            )
            for row in rows
        }
    )
