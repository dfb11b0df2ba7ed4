"""Record the outcomes of attempts, guarded by the fence, and the health of their targets in the same transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.clock import rfc3339
from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.core.ids import show_id
from app.webhooks.decide import WELL, Health, after_failure, gives_up
from app.webhooks.emit import emit_tenant_event
from app.webhooks.models import AttemptOutcome, DeliveryStatus, DisabledReason, EventType, TargetKind


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome of one attempt. due_seconds: until the next attempt; None: there is none.

    status: the new status of the delivery. error: why it was not delivered. gone: the receiver answered 410.
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


class _Attempt(NamedTuple):
    """An input row of `record_attempts.sql`."""

    id: UUID
    fence: int
    attempt: int
    status: str
    due_seconds: float | None
    outcome: str
    duration_seconds: float
    status_code: int | None
    address: str | None
    detail: str
    answer: bytes | None
    error: str | None


class _Target(NamedTuple):
    """A locked target. url: None unless it is an endpoint."""

    id: UUID
    tenant_id: UUID
    kind: str
    failures: int
    slow_failures: int
    spell_failures: int
    open_until: datetime | None
    failed_since: datetime | None
    failing_since: datetime | None
    succeeded_at: datetime | None
    disabled_at: datetime | None
    now: datetime
    url: str | None

    def health(self) -> Health:
        """The health of the target."""
        return Health(
            failures=self.failures, slow_failures=self.slow_failures, spell_failures=self.spell_failures,
            open_until=self.open_until, failed_since=self.failed_since, failing_since=self.failing_since,
        )  # fmt: skip


_SQL = SqlFolder(__file__)
_RECORD_ATTEMPTS = _SQL.query("record_attempts", UUID)
_RESET_TARGETS = _SQL.command("reset_targets")
_LOCK_TARGETS = _SQL.query("lock_targets", _Target)
_SET_HEALTH = _SQL.command("set_health")
_GIVE_UP_ENDPOINT = _SQL.query("give_up_endpoint", UUID)
_FORGET_ATTEMPTS = _SQL.command("forget_attempts")
_FORGET_SECRETS = _SQL.command("forget_secrets")

KEEP_DAYS = 60
FORGET_MAX = 5000


class Disabled(NamedTuple):
    """An endpoint that was disabled just now."""

    endpoint_id: UUID
    tenant_id: UUID
    reason: DisabledReason


class Recorded(NamedTuple):
    """held: the deliveries whose fence was current. disabled: endpoints that were disabled; log them after the commit."""

    held: set[UUID]
    disabled: list[Disabled]


async def record_attempts(session: Session, *, records: Sequence[Record]) -> Recorded:
    """Record these attempts, in the order in which they ended. Several statements."""
    disabled: list[Disabled] = []
    attempts = [
        _Attempt(
            record.delivery_id, record.fence, record.attempt, record.status, record.due_seconds, record.outcome, record.duration_seconds,
            record.status_code, record.address, record.detail, record.answer, record.error,
        )
        for record in records
    ]  # fmt: skip
    held = set(await session.values(_RECORD_ATTEMPTS, **columns_of(_Attempt, attempts)))
    failing = {record.target_id for record in records if record.outcome is not AttemptOutcome.DELIVERED}
    well = {record.target_id for record in records} - failing
    if well:
        await session.run(_RESET_TARGETS, target_ids=sorted(well))
    if failing:
        for target in await session.rows(_LOCK_TARGETS, target_ids=sorted(failing)):
            its_records = [record for record in records if record.target_id == target.id]
            reason = await _judge(session, target=target, records=its_records)
            if reason is not None:
                disabled.append(Disabled(target.id, target.tenant_id, reason))
    return Recorded(held, disabled)


async def _judge(session: Session, *, target: _Target, records: Sequence[Record]) -> DisabledReason | None:
    """Write the health of one target after these attempts. Returns the reason if the target was disabled, else None."""
    health, succeeded_at = target.health(), target.succeeded_at
    for record in records:
        if record.outcome is AttemptOutcome.DELIVERED:
            health, succeeded_at = WELL, target.now
        else:
            health = after_failure(health, at=target.now, duration_seconds=record.duration_seconds)
    await session.run(
        _SET_HEALTH, target_id=target.id, failures=health.failures, slow_failures=health.slow_failures,
        spell_failures=health.spell_failures, open_until=health.open_until, failed_since=health.failed_since,
        failing_since=health.failing_since, succeeded_at=succeeded_at,
    )  # fmt: skip
    if target.kind == TargetKind.ENDPOINT and target.disabled_at is None:
        if any(record.gone for record in records):
            return await _disable(session, target=target, reason=DisabledReason.GONE)
        if gives_up(health, at=target.now):
            return await _disable(session, target=target, reason=DisabledReason.FAILING)
    return None


async def _disable(session: Session, *, target: _Target, reason: DisabledReason) -> DisabledReason | None:
    if await session.find_value(_GIVE_UP_ENDPOINT, endpoint_id=target.id, reason=reason) is None:
        return None
    data: dict[str, object] = {
        "endpoint_id": show_id("whe", target.id),
        "url": target.url,
        "reason": reason,
        "disabled_at": rfc3339(target.now),
    }
    await emit_tenant_event(session, tenant_id=target.tenant_id, type_=EventType.ENDPOINT_DISABLED, data=data)
    return reason


async def forget_attempts(session: Session) -> int:
    """Delete attempts older than KEEP_DAYS. Returns how many, at most FORGET_MAX. One statement."""
    return await session.run(_FORGET_ATTEMPTS, days=KEEP_DAYS, attempts_max=FORGET_MAX)


async def forget_secrets(session: Session) -> int:
    """Delete secrets that expired more than an hour ago. Returns how many. One statement."""
    return await session.run(_FORGET_SECRETS)
