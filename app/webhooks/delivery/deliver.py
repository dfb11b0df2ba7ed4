"""Claim due deliveries, POST them and record the outcomes. No transaction is open during a POST."""

import math
import random
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from app.core import clock
from app.core.crash import crash_point
from app.core.database.db import Database, retry_until_stored
from app.core.database.session import ReadSession
from app.core.ids import show_id
from app.core.logs.grouped_log import GroupedLog
from app.core.logs.log import get_logger
from app.core.process.batch import Batcher
from app.core.process.pump import Pump
from app.core.process.slots import Slots
from app.core.redis.doorbell import Doorbell
from app.http_client.exchange import BeforeSend
from app.webhooks.claims import LEASE_SECONDS, ClaimedDelivery, EventHead, claim_deliveries, freeze_bodies, give_back
from app.webhooks.decide import next_delay, parse_retry_after
from app.webhooks.delivery.secret_cache import SigningSecretCache
from app.webhooks.delivery.sender import POSTS_MAX, TOTAL_SECONDS, Attempted, Sender
from app.webhooks.models import AttemptOutcome, DeliveryStatus
from app.webhooks.records import Record, Recorded, record_attempts
from app.webhooks.secrets import SecretUnreadable
from app.webhooks.signing import signed_headers

log = get_logger(__name__)

SLOTS = POSTS_MAX
"""Concurrent deliveries of one worker."""
GROUP_MAX = 100
LINGER_SECONDS = 0.01
GAP_SECONDS = 0.01
MARGIN_SECONDS = 5.0
"""A POST is not sent if it could end later than so many seconds before its lease expires: another worker may claim it then."""
FULL_SECONDS = 1.0
"""Between two notifications by a worker that has no free slot."""
NEAR_SECONDS = 60.0
"""This process schedules retries that are due sooner than this. The sweep finds later ones."""
GONE = 410

Render = Callable[[ReadSession, Sequence[EventHead]], Awaitable[dict[UUID, bytes]]]
"""Makes the bodies of job events. The caller provides it, because this room does not know jobs."""


class LeaseLost(Exception):
    """Too much of the lease has passed: another worker may claim the delivery. Nothing is sent."""


class Deliverer:
    """Delivers webhooks in one worker process."""

    def __init__(
        self,
        *,
        database: Database,
        doorbell: Doorbell,
        sender: Sender,
        secret_cache: SigningSecretCache,
        render: Render,
        owner: UUID,
    ) -> None:
        self.pump = Pump("deliver", self._step, gap_seconds=GAP_SECONDS)
        self._database = database
        self._doorbell = doorbell
        self._sender = sender
        self._secret_cache = secret_cache
        self._render = render
        self._owner = owner
        self._slots = Slots("deliver", SLOTS, freed=self.pump.ring)
        self._recorder = Batcher(self._record, size_max=GROUP_MAX, linger_seconds=LINGER_SECONDS)
        self._exhausted = GroupedLog(log)

    async def _step(self) -> float:
        free = self._slots.free
        if free <= 0:
            self._doorbell.ring("deliver")  # another worker may have free slots
            return FULL_SECONDS
        crash_point("deliver.before_claim")
        asked_at = clock.monotonic()
        async with self._database.statement() as session:
            rows = await claim_deliveries(session, owner=self._owner, deliveries_max=free)
        if not rows:
            return math.inf
        crash_point("deliver.after_claim")
        bodies = await self._bodies(rows)
        await self._secret_cache.learn((row.tenant_id, row.endpoint_id) for row in rows)
        for row in rows:
            self._slots.start(self._deliver(row, bodies.get(row.event_id), asked_at))
        if len(rows) == free:
            self._doorbell.ring("deliver")  # there may be more due deliveries, for other workers
        return math.inf

    async def _bodies(self, rows: Sequence[ClaimedDelivery]) -> dict[UUID, bytes]:
        """The bodies of these deliveries' events, by event id. Freezes those that are not frozen yet."""
        bodies = {row.event_id: row.body for row in rows if row.body is not None}
        new = {
            row.event_id: EventHead(row.event_id, row.type, row.job_id, row.sequence, row.created_at)
            for row in rows
            if row.body is None and row.job_id is not None  # an event of a tenant is inserted with its body
        }
        if new:
            async with self._database.transaction() as session:
                rendered = await self._render(session, list(new.values()))
                bodies |= await freeze_bodies(session, bodies=rendered)
        return bodies

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return self._slots.free > 0

    async def drain(self, seconds: float) -> None:
        """Wait for attempts in progress, then return unfinished claims. These are sent again, with the same id."""
        await self._slots.drain(min(seconds, TOTAL_SECONDS))
        await self._recorder.drained()
        self._exhausted.flush()
        async with self._database.statement() as session:
            await give_back(session, owner=self._owner)

    def cut(self) -> None:
        """End `drain` early: do not wait for attempts in progress any longer."""
        self._slots.cut()

    async def _deliver(self, row: ClaimedDelivery, body: bytes | None, asked_at: float) -> None:
        until = asked_at + LEASE_SECONDS - TOTAL_SECONDS - MARGIN_SECONDS

        async def before_send() -> None:
            if clock.monotonic() > until:
                raise LeaseLost
            crash_point("deliver.before_first_byte")

        try:
            attempted = await self._post(row, body, before_send)
        except LeaseLost:
            log.warning("delivery.lease_expired", delivery_id=show_id("dlv", row.id))
            return
        crash_point("deliver.after_answer")
        await self._recorder.put(record_of(row, attempted, chance=random.random()))

    async def _post(self, row: ClaimedDelivery, body: bytes | None, before_send: BeforeSend) -> Attempted:
        if body is None:
            log.error(
                "delivery.without_body", delivery_id=show_id("dlv", row.id), event_id=show_id("evt", row.event_id)
            )
            return Attempted(AttemptOutcome.FORBIDDEN, 0.0, detail="the body of the event could not be made")
        try:
            secrets = self._secret_cache.secrets_of(row.tenant_id, row.endpoint_id)
        except SecretUnreadable as error:
            log.error("delivery.secret_unreadable", delivery_id=show_id("dlv", row.id), secret=str(error))
            return Attempted(AttemptOutcome.FORBIDDEN, 0.0, detail="the signing secret could not be decrypted")
        headers = signed_headers(event_id=row.event_id, at=clock.now(), body=body, secrets=secrets)
        return await self._sender.post(row.url, headers=headers, body=body, before_send=before_send)

    async def _record(self, records: Sequence[Record]) -> Sequence[None | Exception]:
        async def write() -> Recorded:
            async with self._database.transaction() as session:
                return await record_attempts(session, records=records)

        crash_point("deliver.before_record")
        recorded = await retry_until_stored(write)
        crash_point("deliver.after_record")
        self._warn(records, recorded)
        for record in records:
            if record.delivery_id not in recorded.held:
                log.info("delivery.record_refused", delivery_id=show_id("dlv", record.delivery_id))
            elif record.due_seconds is not None and record.due_seconds < NEAR_SECONDS:
                self.pump.ring_in(record.due_seconds)
        return [None] * len(records)

    def _warn(self, records: Sequence[Record], recorded: Recorded) -> None:
        for endpoint in recorded.disabled:
            endpoint_id, tenant_id = show_id("whe", endpoint.endpoint_id), show_id("ten", endpoint.tenant_id)
            log.warning("endpoint.disabled", endpoint_id=endpoint_id, tenant_id=tenant_id, reason=endpoint.reason)
        for record in records:
            if record.status is DeliveryStatus.EXHAUSTED and record.delivery_id in recorded.held:
                ids = [show_id("dlv", record.delivery_id)]
                self._exhausted.warn("delivery.exhausted", name="delivery_ids", ids=ids, outcome=record.outcome)


def record_of(row: ClaimedDelivery, attempted: Attempted, *, chance: float) -> Record:
    """The record of an attempt of a claimed delivery. chance: from 0 to 1, places the next attempt within its ±20 %."""
    delivered = attempted.outcome is AttemptOutcome.DELIVERED
    gone = attempted.status_code == GONE
    due_seconds: float | None = None
    status, error = DeliveryStatus.DELIVERED, None
    if not delivered:
        retry_after = parse_retry_after(attempted.retry_after, now=clock.now())
        if not gone:
            due_seconds = next_delay(row.step + 1, chance=chance, retry_after=retry_after)
        status = DeliveryStatus.EXHAUSTED if due_seconds is None else DeliveryStatus.PENDING
        error = f"HTTP {attempted.status_code}" if attempted.status_code else str(attempted.outcome)
        if attempted.detail:
            error += f": {attempted.detail}"
    return Record(
        delivery_id=row.id,
        fence=row.fence,
        attempt=row.attempts,
        target_id=row.target_id,
        status=status,
        outcome=attempted.outcome,
        duration_seconds=attempted.duration_seconds,
        due_seconds=due_seconds,
        status_code=attempted.status_code,
        address=attempted.address,
        detail=attempted.detail,
        answer=attempted.answer,
        error=error,
        gone=gone,
    )
