"""Writing down what came of attempts: guarded by the fence, with the health of their targets in the same transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.clock import rfc3339
from app.core.db import Row, Session, columns
from app.core.ids import show_id
from app.webhooks.decide import WELL, Health, after_failure, gives_up
from app.webhooks.emit import emit_tenant_event
from app.webhooks.models import AttemptOutcome, DeliveryStatus, DisabledReason, EventType


@dataclass(frozen=True, slots=True)
class Record:
    """What came of one attempt, and what follows: the seconds until the next one, None where there is none.

    status: of the delivery, from now on. error: why it was not delivered. gone: the endpoint asked for no more.
    """

    delivery_id: UUID
    fence: int
    attempt: int
    target_id: UUID
    status: DeliveryStatus
    outcome: AttemptOutcome
    duration_seconds: float
    due_seconds: float | None = None
    status_code: int | None = None
    address: str | None = None
    detail: str = ""
    answer: bytes | None = None
    error: str | None = None
    gone: bool = False

    def row(self) -> tuple[object, ...]:
        """As `_RECORD` asks for it."""
        return (
            self.delivery_id, self.fence, self.attempt, self.status, self.due_seconds, self.outcome,
            self.duration_seconds, self.status_code, self.address, self.detail, self.answer, self.error,
        )  # fmt: skip


# What becomes of these deliveries? Only who holds the fence may say; what a late one knows is not lost to the receiver.
_RECORD = """
WITH asked AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::float8[], $6::text[], $7::float8[], $8::smallint[],
        $9::text[], $10::text[], $11::bytea[], $12::text[]
    ) AS t (
        id, fence, attempt, status, due_seconds, outcome, duration_seconds, status_code, address, detail, answer, error
    )
), moved AS (
    UPDATE webhook_deliveries AS delivery SET
        status = asked.status,
        due_at = CASE WHEN asked.status = 'pending' THEN now() + make_interval(secs => asked.due_seconds) END,
        delivered_at = CASE WHEN asked.status = 'delivered' THEN now() ELSE delivery.delivered_at END,
        step = delivery.step + (asked.status <> 'delivered')::integer,
        last_status_code = asked.status_code,
        last_error = asked.error,
        lease_until = NULL,
        owner = NULL
    FROM asked WHERE delivery.id = asked.id AND delivery.fence = asked.fence AND delivery.status = 'sending'
    RETURNING delivery.id
), attempts AS (
    INSERT INTO webhook_attempts (
        delivery_id, attempt, outcome, duration_seconds, status_code, address, detail, answer
    )
    SELECT id, attempt, outcome, duration_seconds, status_code, address, detail, answer FROM asked
    ON CONFLICT DO NOTHING
)
SELECT id FROM moved
"""

_WELL = """
UPDATE webhook_targets SET
    failures = 0, slow_failures = 0, spell_failures = 0, open_until = NULL, failed_since = NULL, failing_since = NULL,
    succeeded_at = now()
WHERE id = ANY (ARRAY(
    SELECT id FROM webhook_targets
    WHERE id = ANY ($1::uuid[])
        AND (failures > 0 OR succeeded_at IS NULL OR succeeded_at < now() - interval '1 minute')
    ORDER BY id FOR NO KEY UPDATE
))
"""

_HEALTH = """
SELECT
    target.id, target.tenant_id, target.kind, target.failures, target.slow_failures, target.spell_failures,
    target.open_until, target.failed_since, target.failing_since, target.succeeded_at, target.disabled_at, now() AS now,
    endpoint.url
FROM webhook_targets AS target LEFT JOIN webhook_endpoints AS endpoint ON endpoint.id = target.id
WHERE target.id = ANY ($1::uuid[]) ORDER BY target.id FOR NO KEY UPDATE OF target
"""

_SET_HEALTH = """
UPDATE webhook_targets SET
    failures = $2, slow_failures = $3, spell_failures = $4, open_until = $5, failed_since = $6, failing_since = $7,
    succeeded_at = $8
WHERE id = $1
"""

_DISABLE = """
UPDATE webhook_targets SET disabled_at = now(), disabled_reason = $2 WHERE id = $1 AND disabled_at IS NULL RETURNING id
"""


class Disabled(NamedTuple):
    """An endpoint that gets nothing from now on."""

    endpoint_id: UUID
    tenant_id: UUID
    reason: DisabledReason


class Recorded(NamedTuple):
    """The deliveries whose fence still held, and the endpoints that were disabled: to be logged after the commit."""

    held: set[UUID]
    disabled: list[Disabled]


async def record_attempts(session: Session, *, records: Sequence[Record]) -> Recorded:
    """Write these down, in the order they ended. A transaction's work."""
    disabled: list[Disabled] = []
    rows = await session.fetch(_RECORD, *columns([record.row() for record in records], 12))
    held = {row["id"] for row in rows}
    failing = {one.target_id for one in records if one.outcome is not AttemptOutcome.DELIVERED}
    well = {one.target_id for one in records} - failing
    if well:
        await session.execute(_WELL, sorted(well))
    if failing:
        for target in await session.fetch(_HEALTH, sorted(failing)):
            told = [one for one in records if one.target_id == target["id"]]
            reason = await _judge(session, target=target, records=told)
            if reason is not None:
                disabled.append(Disabled(target["id"], target["tenant_id"], reason))
    return Recorded(held, disabled)


async def _judge(session: Session, *, target: Row, records: Sequence[Record]) -> DisabledReason | None:
    """The health of one target after these attempts; gives why it was disabled, if it was."""
    now: datetime = target["now"]
    succeeded_at: datetime | None = target["succeeded_at"]
    health = Health(
        failures=target["failures"],
        slow_failures=target["slow_failures"],
        spell_failures=target["spell_failures"],
        open_until=target["open_until"],
        failed_since=target["failed_since"],
        failing_since=target["failing_since"],
    )
    for record in records:
        if record.outcome is AttemptOutcome.DELIVERED:
            health, succeeded_at = WELL, now
        else:
            health = after_failure(health, at=now, duration_seconds=record.duration_seconds)
    await session.execute(
        _SET_HEALTH,
        target["id"],
        health.failures,
        health.slow_failures,
        health.spell_failures,
        health.open_until,
        health.failed_since,
        health.failing_since,
        succeeded_at,
    )
    if target["kind"] == "endpoint" and target["disabled_at"] is None:
        if any(record.gone for record in records):
            return await _disable(session, target=target, reason=DisabledReason.GONE)
        if gives_up(health, at=now):
            return await _disable(session, target=target, reason=DisabledReason.FAILING)
    return None


async def _disable(session: Session, *, target: Row, reason: DisabledReason) -> DisabledReason | None:
    if await session.fetchval(_DISABLE, target["id"], reason) is None:
        return None
    data: dict[str, object] = {
        "endpoint_id": show_id("whe", target["id"]),
        "url": target["url"],
        "reason": reason,
        "disabled_at": rfc3339(target["now"]),
    }
    await emit_tenant_event(session, tenant_id=target["tenant_id"], type_=EventType.ENDPOINT_DISABLED, data=data)
    return reason


# What is kept of attempts is for looking into what went wrong lately; secrets that sign no more are of no use to anybody.
_FORGET_ATTEMPTS = """
DELETE FROM webhook_attempts WHERE (delivery_id, attempt) IN (
    SELECT delivery_id, attempt FROM webhook_attempts WHERE at < now() - make_interval(days => $1) ORDER BY at LIMIT $2
)
"""

KEEP_DAYS = 60
FORGET_MAX = 5000


async def forget_attempts(session: Session) -> int:
    """Drop the attempts of long ago; gives how many, at most FORGET_MAX. One statement."""
    return await session.execute(_FORGET_ATTEMPTS, KEEP_DAYS, FORGET_MAX)


async def forget_secrets(session: Session) -> int:
    """Drop secrets that sign no more. One statement."""
    return await session.execute("DELETE FROM webhook_secrets WHERE expires_at < now() - interval '1 hour'")
