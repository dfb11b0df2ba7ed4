"""Taking deliveries for work, and giving back what was not done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.db import ReadSession, Row, Session
from app.webhooks.decide import BREAKER_FAILURES, SLOTS_HEALTHY, SLOTS_TENANT, SLOTS_UNKNOWN

LEASE_SECONDS = 30.0
"""An attempt takes 15 at most, and is recorded at once."""

# Which deliveries go next? Every target with something due gets its turn, up to its slots, and every tenant up to its own;
# what waits behind a dead receiver is never read. A target is locked for as long as this takes, so that two workers cannot
# both fill its slots: the second passes it by, and looks again when it is rung or swept.
_CLAIM = f"""
WITH RECURSIVE waiting AS (
    (SELECT target_id FROM webhook_deliveries WHERE status = 'pending' ORDER BY target_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT next.target_id FROM webhook_deliveries AS next
        WHERE next.status = 'pending' AND next.target_id > waiting.target_id ORDER BY next.target_id LIMIT 1
    )
    FROM waiting WHERE waiting.target_id IS NOT NULL
), busy AS MATERIALIZED (
    SELECT tenant_id, target_id, count(*) AS sending FROM webhook_deliveries WHERE status = 'sending' GROUP BY 1, 2
), open AS MATERIALIZED (
    SELECT
        target.id, target.tenant_id,
        CASE
            WHEN target.slow_failures >= {BREAKER_FAILURES} THEN 1
            WHEN target.failures = 0 AND target.succeeded_at IS NOT NULL THEN {SLOTS_HEALTHY}
            ELSE {SLOTS_UNKNOWN}
        END - coalesce((SELECT sending FROM busy WHERE busy.target_id = target.id), 0) AS slots
    FROM webhook_targets AS target
    WHERE target.id = ANY (ARRAY(SELECT target_id FROM waiting WHERE target_id IS NOT NULL))
        AND target.disabled_at IS NULL AND (target.open_until IS NULL OR target.open_until <= now())
        AND EXISTS (
            SELECT FROM webhook_deliveries AS due
            WHERE due.target_id = target.id AND due.status = 'pending' AND due.due_at <= now()
        )
    FOR NO KEY UPDATE SKIP LOCKED
), turns AS (
    SELECT due.id, open.tenant_id, due.turn, due.due_at,
        row_number() OVER (PARTITION BY open.tenant_id ORDER BY due.turn, due.due_at) AS turn_of_tenant
    FROM open CROSS JOIN LATERAL (
        SELECT id, due_at, row_number() OVER (ORDER BY due_at) AS turn FROM (
            SELECT id, due_at FROM webhook_deliveries
            WHERE target_id = open.id AND status = 'pending' AND due_at <= now()
            ORDER BY due_at LIMIT greatest(open.slots, 0)
        ) AS first
    ) AS due
), chosen AS (
    SELECT id FROM turns
    WHERE turn_of_tenant <= {SLOTS_TENANT} - coalesce(
        (SELECT sum(sending) FROM busy WHERE busy.tenant_id = turns.tenant_id), 0
    )
    ORDER BY turn, due_at LIMIT $1
), taken AS (
    UPDATE webhook_deliveries AS delivery SET
        status = 'sending', due_at = NULL, lease_until = now() + make_interval(secs => {LEASE_SECONDS}), owner = $2,
        fence = delivery.fence + 1, attempts = delivery.attempts + 1
    WHERE delivery.id = ANY (ARRAY(SELECT id FROM chosen)) AND delivery.status = 'pending'
    RETURNING delivery.*
)
SELECT
    taken.id, taken.fence, taken.attempts, taken.step, taken.event_id, taken.target_id, taken.tenant_id, taken.job_id,
    taken.type, taken.url IS NULL AS to_endpoint, coalesce(taken.url, endpoint.url) AS url, event.sequence,
    event.created_at, event.body
FROM taken
JOIN webhook_events AS event ON event.id = taken.event_id
LEFT JOIN webhook_endpoints AS endpoint ON endpoint.id = taken.target_id
"""  # noqa: S608


async def claim_deliveries(session: Session, *, owner: UUID, most: int) -> list[Row]:
    """Up to `most` due deliveries, now sending and ours for LEASE_SECONDS. One statement."""
    return await session.fetch(_CLAIM, most, owner)


# What a worker leaves behind goes on at once; its POST may have arrived, and receivers know events by their ids.
_GIVE_BACK = """
WITH left_behind AS (
    UPDATE webhook_deliveries SET
        status = 'pending', due_at = now(), lease_until = NULL, owner = NULL, last_error = 'interrupted'
    WHERE status = 'sending' AND {whose}
    RETURNING id, attempts
)
INSERT INTO webhook_attempts (delivery_id, attempt, outcome)
SELECT id, attempts, 'interrupted' FROM left_behind ON CONFLICT DO NOTHING
"""

_GIVE_BACK_OURS = _GIVE_BACK.format(whose="owner = $1")
_GIVE_BACK_EXPIRED = _GIVE_BACK.format(whose="lease_until < now()")


async def give_back(session: Session, *, owner: UUID) -> int:
    """What this process still holds; gives how many. One statement."""
    return await session.execute(_GIVE_BACK_OURS, owner)


async def give_back_expired(session: Session) -> int:
    """What processes held that are dead by now; gives how many. One statement."""
    return await session.execute(_GIVE_BACK_EXPIRED)


# Is there anything due that may be sent, and if not, when will there be? When does the next claim run out?
_LOOK = """
SELECT
    extract(epoch FROM (SELECT min(due_at) FROM webhook_deliveries WHERE status = 'pending') - now())::float8 AS due,
    extract(epoch FROM (SELECT min(lease_until) FROM webhook_deliveries WHERE status = 'sending') - now())::float8
        AS expires
"""


@dataclass(frozen=True, slots=True)
class Look:
    """Seconds until the earliest delivery is due, and until the earliest claim runs out; None where there is none."""

    due_seconds: float | None
    expires_seconds: float | None


async def look(session: Session) -> Look:
    """When is there something to do? One statement."""
    row = await session.fetchrow(_LOOK)
    assert row is not None
    return Look(row["due"], row["expires"])


# Nothing is owed to who is switched off: it is listed as exhausted, and can be recovered.
_EXHAUST = """
WITH idle AS (
    SELECT delivery.id, endpoint.deleted_at IS NOT NULL AS deleted
    FROM webhook_targets AS target
    JOIN webhook_deliveries AS delivery ON delivery.target_id = target.id AND delivery.status = 'pending'
    LEFT JOIN webhook_endpoints AS endpoint ON endpoint.id = target.id
    WHERE target.disabled_at IS NOT NULL
    LIMIT $1
    FOR NO KEY UPDATE OF delivery SKIP LOCKED
)
UPDATE webhook_deliveries AS delivery SET
    status = 'exhausted', due_at = NULL,
    last_error = CASE WHEN idle.deleted THEN 'endpoint_deleted' ELSE 'endpoint_disabled' END
FROM idle WHERE delivery.id = idle.id
"""

EXHAUST_MAX = 1000


async def exhaust_disabled(session: Session) -> int:
    """Give up what is owed to disabled endpoints; gives how many, at most EXHAUST_MAX. One statement."""
    return await session.execute(_EXHAUST, EXHAUST_MAX)


@dataclass(frozen=True, slots=True)
class EventHead:
    """An event without its body."""

    id: UUID
    type: str
    job_id: UUID
    sequence: int
    created_at: datetime


_FREEZE = """
UPDATE webhook_events AS event SET body = asked.body
FROM unnest($1::uuid[], $2::bytea[]) AS asked (id, body)
WHERE event.id = asked.id AND event.body IS NULL
"""


async def freeze_bodies(session: Session, *, bodies: dict[UUID, bytes]) -> dict[UUID, bytes]:
    """From now on these events have these bodies; gives what they are, which somebody else may have frozen before."""
    ids = sorted(bodies)
    await session.execute(_FREEZE, ids, [bodies[one] for one in ids])
    return await read_bodies(session, event_ids=ids)


async def read_bodies(session: ReadSession, *, event_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """The frozen bodies of these events."""
    sql = "SELECT id, body FROM webhook_events WHERE id = ANY ($1::uuid[]) AND body IS NOT NULL"
    return {row["id"]: row["body"] for row in await session.fetch(sql, list(event_ids))}
