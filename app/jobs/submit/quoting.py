"""Quotes: what a submit would get now, its price, its refusal, and its expected wait. A quote stores nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from app.catalog.models import PriceRule
from app.core import clock
from app.core.database.db import Database
from app.core.errors import Refusal
from app.jobs.estimates.eta import Expected, middle_of
from app.jobs.estimates.line import Line
from app.jobs.queues import QueueFull, key_is_full, look_at_places
from app.jobs.reading.eta_estimator import NO_ESTIMATE, Estimate, EtaEstimator, QueueSnapshot, Waiting
from app.jobs.submit.service import JobRequest, SubmitService
from app.ledger.accounts import look_at_account
from app.ledger.decide import BudgetExceeded, Hold, InsufficientCredits, PriceAboveMax, checked_price
from app.limits.rate_headers import RateLimited
from app.limits.rate_script import buckets_of
from app.limits.rates import RateLimiter

NOBODY = UUID(int=0)


class Binding(StrEnum):
    """What would refuse or delay a job."""

    NONE = "none"
    RATE = "rate"
    QUEUED = "queued"
    PRICE = "price"
    CREDITS = "credits"
    BUDGET = "budget"
    PAUSED = "paused"
    NOT_BEFORE = "not_before"
    IN_FLIGHT = "in_flight"
    UPSTREAM = "upstream"


class PausedBy(StrEnum):
    """Who set the pause. `upstream`: it ends when the upstream accepts a submit of the model again."""

    OPERATOR = "operator"
    UPSTREAM = "upstream"


_REFUSED_BY: tuple[tuple[type[Refusal], Binding], ...] = (
    (RateLimited, Binding.RATE),
    (QueueFull, Binding.QUEUED),
    (PriceAboveMax, Binding.PRICE),
    (BudgetExceeded, Binding.BUDGET),
    (InsufficientCredits, Binding.CREDITS),
)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a submit would get. `refusal`: None if it would be accepted."""

    model: str
    price_micro: int
    price_rule: PriceRule
    markup_micro: int
    refusal: Refusal | None
    binding: Binding
    paused_by: PausedBy | None
    """Who has set the pause, if it would wait for one."""
    wait: Expected | None
    """Seconds until it would be sent. None: not known."""
    estimate: Estimate


class Quoter:
    """Makes quotes, one object for each API process."""

    def __init__(
        self, *, database: Database, submit_service: SubmitService, eta: EtaEstimator, rates: RateLimiter
    ) -> None:
        self._database = database
        self._submit_service = submit_service
        self._eta = eta
        self._rates = rates

    async def quote(self, asked: JobRequest) -> Quote:
        """Return what a submit would get now. Raises the Refusal that a submit would get for its times, model and parameters."""
        now = clock.now()
        not_before, terms, price = await self._submit_service.judged(asked, now=now)
        parked = not_before is not None and not_before > now
        refusal, key_full = await self._judge(asked, price)
        look = await self._eta.look(asked.principal.tenant_id, newest_rank=float("inf"))
        wait, estimate = None, NO_ESTIMATE
        if look is not None and not key_full:
            await self._eta.learn({asked.model, *look.line.models})
            waiting = _waiting(asked, now=datetime.fromtimestamp(look.line.read_at, UTC))
            waits = self._eta.waits(waiting, look)
            wait = None if waits is None else middle_of(waits)
            estimate = self._eta.of_waiting(waiting, look, now=datetime.fromtimestamp(look.line.read_at, UTC))
        if refusal is not None:
            binding = _refused_by(refusal)
        else:
            binding = held_up_by(asked.model, look, key_full=key_full, parked=parked)
        return Quote(
            model=asked.model,
            price_micro=price,
            price_rule=terms.price_rule,
            markup_micro=terms.markup_micro,
            refusal=refusal,
            binding=binding,
            paused_by=paused_by(asked.model, look) if binding is Binding.PAUSED else None,
            wait=wait,
            estimate=estimate,
        )

    async def _judge(self, asked: JobRequest, price: int) -> tuple[Refusal | None, bool]:
        """Why it would be refused, checked in the order of a submit; and whether its key has no free place in flight."""
        principal = asked.principal
        try:
            checked_price(price, ceilings=(asked.max_price, principal.max_price_micro))
        except PriceAboveMax as above:
            return above, False
        if (limited := await self._rates.find_refusal(buckets_of(principal))) is not None:
            return limited, False
        async with self._database.snapshot(principal.tenant_id) as session:
            places = await look_at_places(session, subject_ids=(principal.tenant_id, principal.key_id))
            account = await look_at_account(session, tenant_id=principal.tenant_id, key_id=principal.key_id)
            key_full = await key_is_full(session, key_id=principal.key_id)
        full = places.admit(tenant_id=principal.tenant_id, key_id=principal.key_id)
        return full or account.admit(Hold(NOBODY, principal.tenant_id, principal.key_id, price)), key_full


def _waiting(asked: JobRequest, *, now: datetime) -> Waiting:
    since = now if asked.not_before is None else max(asked.not_before, now)
    ready = since <= now
    deadline = None if asked.deadline_seconds is None else now + timedelta(seconds=asked.deadline_seconds)
    try:
        rank_at = since - timedelta(minutes=asked.priority)
    except OverflowError:
        rank_at = since
    return Waiting(asked.model, rank_at, ready, since, deadline)


def _refused_by(refusal: Refusal) -> Binding:
    return next(binding for kind, binding in _REFUSED_BY if isinstance(refusal, kind))


def held_up_by(model: str, look: QueueSnapshot | None, *, key_full: bool = False, parked: bool = False) -> Binding:
    """Return what a job of this model would wait for if it were accepted now. `parked`: its `not_before` is in the future."""
    line: Line | None = None if look is None else look.line
    if line is not None and (line.paused or model in line.paused_models):
        return Binding.PAUSED
    if parked:
        return Binding.NOT_BEFORE
    if line is None:
        return Binding.NONE
    if line.upstream_paused_seconds > 0 or line.held_up_elsewhere:
        return Binding.UPSTREAM
    return Binding.IN_FLIGHT if key_full or line.ready - line.claimed >= line.free else Binding.NONE


def paused_by(model: str, look: QueueSnapshot | None) -> PausedBy:
    """Return whose pause a job of this model would wait for. An operator's comes first: it remains when the upstream's ends."""
    by_upstream = look is not None and not look.line.paused and model in look.line.forbidden_models
    return PausedBy.UPSTREAM if by_upstream else PausedBy.OPERATOR
