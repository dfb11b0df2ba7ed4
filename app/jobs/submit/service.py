"""Accept submits, on all surfaces: check, store, notify the workers, and record every refusal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from app.catalog.check import (
    Catalog,
    ModelDisabled,
    ModelRetired,
    ModelUnknown,
    ModelUnpriced,
    ParametersInvalid,
    checked_slug,
)
from app.catalog.decide import Terms, quote
from app.core import clock
from app.core.crash import crash_point
from app.core.database.db import Database
from app.core.errors import Forbidden, NotFound, Problem, Refusal, StoreUnavailable, malformed_at
from app.core.faults import Faults
from app.core.ids import new_id
from app.core.off_loop import run_sized
from app.core.redis.doorbell import Doorbell
from app.core.strict_json import canonical
from app.jobs.models import OnUnknown, Surface
from app.jobs.operations import Submission
from app.jobs.queues import QueueFull
from app.jobs.submit.refusals import RefusalBook, RefusedSubmit
from app.jobs.submit.starting import checked_not_before
from app.jobs.submit.writer import Busy, IdempotencyKeyReused, InDoubt, Stored, SubmitWriter
from app.ledger.decide import BudgetExceeded, InsufficientCredits, PriceAboveMax, checked_price
from app.limits.rate_headers import RateLimited, rate_headers
from app.limits.rate_script import buckets_of
from app.limits.rates import RateLimiter
from app.limits.refused import TooManyRefused, counts_as_refused, refused_bucket_of
from app.tenants.auth import Principal
from app.web.bodies import BODY_REFUSED
from app.web.parse_budget import cost_at_least
from app.webhooks.emit import JobWebhook

REPLAYED = "replayed"
NOT_STORED: tuple[type[Refusal], ...] = (
    *BODY_REFUSED, ParametersInvalid, ModelDisabled, ModelUnknown, ModelUnpriced, ModelRetired, IdempotencyKeyReused,
    StoreUnavailable, Busy, PriceAboveMax, InsufficientCredits, BudgetExceeded, QueueFull, RateLimited, TooManyRefused,
)  # fmt: skip
"""All refusals that a submit with a valid key may get."""
OWED_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A requested job. Its parameters are given twice: as bytes, to be forwarded, and parsed, to be checked."""

    principal: Principal
    surface: Surface
    model: str
    body: bytes
    parameters: dict[str, Any]
    idempotency_key: str | None = None
    metadata: dict[str, object] | None = None
    priority: int = 5
    deadline_seconds: float | None = None
    not_before: datetime | None = None
    max_price: int | None = None
    """Micro-credits."""
    on_unknown: OnUnknown = OnUnknown.HOLD
    webhook: JobWebhook | None = None
    faults: Sequence[Problem] = ()
    """Problems that are already known. The job is refused with these and the problems of its parameters."""


class SubmitService:
    """Accepts submits, one object for each API process."""

    def __init__(
        self,
        *,
        database: Database,
        catalog: Catalog,
        doorbell: Doorbell,
        rates: RateLimiter,
        default_price_micro: int,
    ) -> None:
        self._catalog = catalog
        self._default_price_micro = default_price_micro
        self._doorbell = doorbell
        self._rates = rates
        self._writer = SubmitWriter(database, alerted=lambda: doorbell.ring("deliver"))
        self._refusals = RefusalBook(database)

    def admit(self, principal: Principal) -> None:
        """Raise TooManyRefused if too many submits of the tenant were refused recently, as far as this process knows. Call it
        before anything of the submit is read."""
        standing = self._rates.find_exhausted(refused_bucket_of(principal))
        if standing is not None:
            raise TooManyRefused(standing)

    def charge_refusal(self, principal: Principal, refusal: Refusal) -> None:
        """Count a refused submit or quote against its tenant's limit on refusals. Waits for nothing."""
        if counts_as_refused(refusal):
            self._rates.charge_afterwards(refused_bucket_of(principal))

    async def accept(self, asked: JobRequest) -> tuple[Stored, dict[str, str]]:
        """Store a job. Returns it, already committed, and the rate limit headers of its tenant. Raises a Refusal if it is not
        accepted."""
        principal = asked.principal
        now = clock.now()
        not_before, terms, price = await self.judged(asked, now=now)
        checked_price(price, ceilings=(asked.max_price, principal.max_price_micro))
        fingerprint = None
        if asked.idempotency_key is not None:
            spelt = await run_sized(cost_at_least(asked.body), canonical, asked.model, asked.body)
            fingerprint = sha256(spelt).digest()
        stored, headers = await self._store(
            principal,
            Submission(
                id=new_id(),
                tenant_id=principal.tenant_id,
                key_id=principal.key_id,
                surface=asked.surface,
                model=asked.model,
                priority=asked.priority,
                created_at=now,
                not_before=not_before,
                deadline_at=now + timedelta(seconds=asked.deadline_seconds) if asked.deadline_seconds else None,
                idempotency_key=asked.idempotency_key,
                fingerprint=fingerprint,
                body=asked.body,
                metadata=asked.metadata,
                held_micro=price,
                price_rule=terms.price_rule,
                markup_micro=terms.markup_micro,
                on_unknown=asked.on_unknown,
                webhook=asked.webhook,
            ),
        )
        crash_point("submit.before_ring")
        self._doorbell.ring("dispatch")
        crash_point("submit.before_answer")
        return stored, headers

    async def _store(self, principal: Principal, submission: Submission) -> tuple[Stored, dict[str, str]]:
        """Store a submission within its tenant's rate limits. A refused submit does not count against them."""
        taken = await self._rates.take(buckets_of(principal))
        headers = rate_headers(taken.standings)
        try:
            return await self._writer.submit(submission), headers
        except InDoubt:
            raise  # it may be stored
        except Exception as error:
            self._rates.give_back(taken)
            if isinstance(error, Refusal) and error.status == HTTPStatus.TOO_MANY_REQUESTS:
                error.headers |= headers
            raise

    async def judged(self, asked: JobRequest, *, now: datetime) -> tuple[datetime | None, Terms, int]:
        """Return the instant before which the job is not sent, its price terms, and the micro-credits to hold. Raises a Refusal
        for its times, model and parameters, with all their problems together."""
        principal, faults, not_before = asked.principal, Faults(), None
        with faults:
            not_before = checked_not_before(asked.not_before, deadline_seconds=asked.deadline_seconds, now=now)
        try:
            terms = await self._catalog.check(
                checked_slug(asked.model),
                asked.parameters,
                cost=cost_at_least(asked.body),
                allowed=principal.models,
                at="$.input" if asked.surface is Surface.NATIVE else "$",
            )
        except Refusal as refusal:
            if not asked.faults and not faults.problems:
                raise
            problems = refusal.problems
            if isinstance(refusal, NotFound | Forbidden | ModelRetired):
                where = "$.model" if asked.surface is Surface.NATIVE else "path"
                problems = (Problem(where, refusal.message),)
            raise malformed_at(*asked.faults, *faults.problems, *problems) from None
        if asked.faults or faults.problems:
            raise malformed_at(*asked.faults, *faults.problems)
        price = quote(
            terms, default_price_micro=principal.default_price_micro, fallback_micro=self._default_price_micro
        )
        return not_before, terms, price

    async def note_refusal(
        self,
        refusal: Refusal,
        *,
        surface: Surface,
        who: Principal | None,
        model: str | None,
        status: int | None = None,
    ) -> None:
        """Count and record a refused submit. `status`: the HTTP status of the answer, if it is not the refusal's own. `who`:
        None if there is no valid key. The model is recorded only if the catalogue has it: each other name would add a row."""
        flood = isinstance(refusal, TooManyRefused)
        tenant_id = key_id = known = None
        if who is not None:
            tenant_id, key_id = who.tenant_id, who.key_id
            self.charge_refusal(who, refusal)
            if model is not None and not flood:
                known = await self._catalog.find_slug(model)
        refused = RefusedSubmit(tenant_id, key_id, surface, known, status or refusal.status, refusal.code)
        await self._refusals.record(refused, received_at=clock.now(), flood=flood)

    async def note_replay(self, asked: JobRequest, stored: Stored) -> None:
        """Record a replayed submit."""
        who = asked.principal
        refused = RefusedSubmit(who.tenant_id, who.key_id, asked.surface, asked.model, 200, REPLAYED, stored.job_id)
        await self._refusals.record(refused, received_at=clock.now())

    async def drained(self) -> None:
        """Wait until every submit has its answer, and up to OWED_SECONDS until refusals are recorded."""
        await self._writer.drained()
        await self._refusals.drained(OWED_SECONDS)
