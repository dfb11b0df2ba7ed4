"""The submit writer stores concurrent submits in groups, each in one transaction. Each API process has one. It is an edge.

Otherwise the submits of a tenant would wait one by one for a disk flush, with the tenant's balance locked. Each submission of a
group is stored or refused independently.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import asyncpg

from app.core import clock
from app.core.crash import crash_point
from app.core.database.db import Database
from app.core.database.session import Session
from app.core.errors import Refusal, StoreFull, StoreUnavailable
from app.core.ids import show_id
from app.core.logs.log import get_logger
from app.core.process.batch import Batcher, Overloaded, WriteApart
from app.jobs.operations import Submission, find_duplicates, submit_jobs, submit_jobs_that_fit
from app.jobs.queues import lock_places
from app.ledger.accounts import load_budgets, lock_accounts
from app.ledger.decide import Hold
from app.ledger.holds import BudgetAlert, hold, spend
from app.webhooks.emit import emit_tenant_event
from app.webhooks.models import EventType

log = get_logger(__name__)

GROUP_MAX = 50
LANES = 2
"""Groups written at the same time. A flood of one tenant fills only one."""
WAITING_MAX = 10_000
LARGE_BYTES = 64 * 1024
"""A larger body takes Postgres milliseconds. It is written alone, to lock no other tenant's queue."""
LOCK_SECONDS = 0.02
"""How long a group of one tenant waits for a lock: all tenants share the lanes. A group of several waits for none."""
LOCK_SECONDS_APART = 0.2
"""The same for a tenant that is written separately. A transaction locks its queue or balance for milliseconds, unless its
process was suspended. Then this group is retried, and its connection serves other groups in between."""
UNREACHED_SECONDS = 3.0
"""How long a submit waits before it is refused, if the database cannot be reached, or its disk is full."""
IN_DOUBT_LOCK_SECONDS = 5.0
IN_DOUBT_SECONDS = 15.0
"""The same if the database's answer was lost. The job may be stored, so a refusal could be wrong."""


class IdempotencyKeyReused(Refusal):
    """422: the tenant has used this idempotency key for another request."""

    status = 422
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("this idempotency key was already used with another model or input")


class Busy(Refusal):
    """503: too many submits wait to be stored (WAITING_MAX)."""

    status = 503
    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("too many submits at once; try again", retry_after_seconds=1)


class InDoubt(StoreUnavailable):
    """503: the database was lost while it wrote the job, which may be stored."""

    code = "store_in_doubt"

    def __init__(self) -> None:
        super().__init__(
            "the connection to the database was lost while the job was stored, and the job may exist; with an idempotency key the request can be repeated safely"
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """A committed job: a new one, or (`replayed`) the one of this idempotency key."""

    job_id: UUID
    created_at: datetime
    replayed: bool


class SubmitWriter:
    """Writes submissions to Postgres in groups, and returns to each its result."""

    def __init__(self, database: Database, *, alerted: Callable[[], None]) -> None:
        """`alerted`: called when budget alerts of tenants are to be delivered."""
        self._database = database
        self._alerted = alerted
        self._batcher: Batcher[Submission, Stored] = Batcher(
            self._flush,
            size_max=GROUP_MAX,
            waiting_max=WAITING_MAX,
            lanes=LANES,
            key=lambda one: one.tenant_id,
            large=lambda one: len(one.body) > LARGE_BYTES,
            apart=partial(self._flush, lock_seconds=LOCK_SECONDS_APART),
        )

    async def submit(self, submission: Submission) -> Stored:
        """Store a job, and return it committed. Raises IdempotencyKeyReused, QueueFull, a refusal of the ledger, Busy,
        StoreUnavailable or InDoubt."""
        try:
            return await self._batcher.put(submission)
        except Overloaded:
            raise Busy from None

    async def drained(self) -> None:
        """Wait until every submit has its answer."""
        await self._batcher.drained()

    async def _flush(
        self, group: Sequence[Submission], *, lock_seconds: float = LOCK_SECONDS
    ) -> Sequence[Stored | Exception]:
        """Write a group, and repeat it after a lost answer: the ids are ours, so no job is stored twice."""
        started_at = clock.monotonic()
        in_doubt = False
        while True:
            sent = False
            try:
                if not in_doubt:
                    async with self._database.statement() as session:
                        crash_point("submit.before_store")
                        sent = True
                        stored = await _store_if_plain(session, group, lock_seconds=lock_seconds)
                    crash_point("submit.after_store")
                    if stored or len({item.tenant_id for item in group}) > 1:
                        return [_stored(item) if item.tenant_id in stored else _apart() for item in group]
                sent = False
                async with self._database.transaction() as session:
                    verdicts, alerts = await _store(session, group, again=in_doubt, lock_seconds=lock_seconds)
                    sent = True  # a failure before the commit has stored nothing
                crash_point("submit.after_store")
            except asyncpg.LockNotAvailableError:
                if not in_doubt:
                    return [_apart()] * len(group)
                if clock.monotonic() - started_at > IN_DOUBT_SECONDS:
                    raise InDoubt from None
                lock_seconds = IN_DOUBT_LOCK_SECONDS  # only this call knows of the doubt: the group stays whole
                continue
            except StoreUnavailable as error:
                in_doubt = in_doubt or (sent and not isinstance(error, StoreFull))
                patience = IN_DOUBT_SECONDS if in_doubt else UNREACHED_SECONDS
                if clock.monotonic() - started_at > patience:
                    raise (InDoubt() if in_doubt else error) from error
                await asyncio.sleep(0.1)
                continue
            if alerts:
                self._alerted()
            for alert in alerts:
                log.warning(
                    "budget.reached", tenant_id=show_id("ten", alert.tenant_id), key_id=_key_of(alert), period=alert.period,
                    percent=alert.percent,
                )  # fmt: skip
            return verdicts


def _key_of(alert: BudgetAlert) -> str | None:
    """The key of the alert, if the budget is a key's own."""
    return None if alert.subject_id == alert.tenant_id else show_id("key", alert.subject_id)


async def _store_if_plain(session: Session, group: Sequence[Submission], *, lock_seconds: float) -> set[UUID]:
    """In one round trip, store the jobs of tenants whose jobs are all new and certainly fit their limits and credits. Returns
    these tenants. `_store` writes the others: it locks a tenant's queue and balance for several round trips."""
    try:
        return await submit_jobs_that_fit(session, submissions=group, lock_seconds=lock_seconds)
    except asyncpg.UniqueViolationError:
        return set()


def _apart() -> WriteApart:
    return WriteApart(StoreUnavailable())


def _stored(one: Submission) -> Stored:
    return Stored(one.id, one.created_at, replayed=False)


async def _store(
    session: Session, group: Sequence[Submission], *, again: bool, lock_seconds: float
) -> tuple[list[Stored | Exception], list[BudgetAlert]]:
    """Judge each submission, store the accepted ones, and make their holds. Returns all results, and the budget alerts.

    Each submit locks its tenant's queue and balance until it commits, so all earlier jobs of the tenant are visible here.
    """
    subject_ids = {one for item in group for one in (item.tenant_id, item.key_id)}
    places = await lock_places(session, subject_ids=subject_ids, lock_seconds=lock_seconds)
    accounts = await lock_accounts(session, tenant_ids={item.tenant_id for item in group})
    # without an idempotency key, a duplicate exists only if this group was written before and the answer was lost
    asking = [item for item in group if again or item.idempotency_key is not None]
    twins = await find_duplicates(session, submissions=asking) if asking else {}
    await load_budgets(session, accounts=accounts, key_ids=[item.key_id for item in group])
    verdicts: list[Stored | Exception] = []
    accepted: list[Submission] = []
    keys: dict[tuple[UUID, str | None], Submission] = {}
    for one in group:
        twin = twins.get(one.id)
        earlier = keys.get((one.tenant_id, one.idempotency_key)) if one.idempotency_key is not None else None
        if twin is not None:
            verdicts.append(_replayed(one, twin.id, twin.created_at, twin.fingerprint))
        elif earlier is not None:
            verdicts.append(_replayed(one, earlier.id, earlier.created_at, earlier.fingerprint))
        elif (full := places.admit(tenant_id=one.tenant_id, key_id=one.key_id)) is not None:
            verdicts.append(full)
        elif (refusal := accounts[one.tenant_id].admit(_hold(one))) is not None:
            verdicts.append(refusal)
        else:
            places.take(tenant_id=one.tenant_id, key_id=one.key_id)
            keys[one.tenant_id, one.idempotency_key] = one
            accepted.append(one)
            verdicts.append(_stored(one))
    if accepted:
        await submit_jobs(session, submissions=accepted)
        await hold(session, accounts=accounts, holds=[_hold(item) for item in accepted])
    alerts = await spend(session, accounts=accounts)
    for alert in alerts:
        await emit_tenant_event(session, tenant_id=alert.tenant_id, type_=EventType.BUDGET_ALERT, data=_told(alert))
    return verdicts, alerts


def _told(alert: BudgetAlert) -> dict[str, object]:
    """The data of the event about a budget."""
    of_key = alert.subject_id != alert.tenant_id
    return {
        "tenant_id": show_id("ten", alert.tenant_id),
        "key_id": show_id("key", alert.subject_id) if of_key else None,
        "period": alert.period,
        "percent": alert.percent,
    }


def _hold(one: Submission) -> Hold:
    return Hold(one.id, one.tenant_id, one.key_id, one.held_micro)


def _replayed(one: Submission, job_id: UUID, created_at: datetime, fingerprint: bytes | None) -> Stored | Exception:
    """The result of a submission whose id or idempotency key already has a job."""
    if job_id != one.id and fingerprint != one.fingerprint:
        return IdempotencyKeyReused()
    return Stored(job_id, created_at, replayed=job_id != one.id)
