"""Pure decisions: what a job is charged, what may be held, and from which lots a hold draws and to which it returns.

All amounts are micro-credits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from app.core.credits import MICRO, show_credits
from app.core.errors import Refusal
from app.ledger.models import ExposureReason, Period

ALERTS_PERCENT = (50, 80, 100)


class PaymentRequired(Refusal):
    """402, or 406 on the upstream-shaped surface: credits, a budget or a ceiling does not allow the job."""

    status = 402
    code = "payment_required"


class InsufficientCredits(PaymentRequired):
    """402: the hold is more than the tenant may spend."""

    code = "insufficient_credits"

    def __init__(self, *, required: int, available: int) -> None:
        needs, has = show_credits(required), show_credits(available)
        super().__init__(
            f"insufficient credits: price {needs}, available {has}",
            extra={"required": needs, "available": has},
        )


class BudgetExceeded(PaymentRequired):
    """402: the job does not fit into a budget of the tenant or of its key."""

    code = "budget_exceeded"

    def __init__(self, *, period: Period, required: int, available: int) -> None:
        needs, has = show_credits(required), show_credits(available)
        super().__init__(
            f"budget of the {period} exceeded: price {needs}, remaining {has}",
            extra={"required": needs, "available": has, "period": str(period)},
        )


class PriceAboveMax(PaymentRequired):
    """402: the price of the job is above a ceiling, its own or its tenant's."""

    code = "price_above_max"

    def __init__(self, *, required: int, ceiling: int) -> None:
        needs, most = show_credits(required), show_credits(ceiling)
        super().__init__(f"price {needs} exceeds max_price {most}", extra={"required": needs, "max": most})


def checked_price(price: int, *, ceilings: Iterable[int | None]) -> int:
    """Returns the price. Raises PriceAboveMax if it is above a ceiling. A ceiling of None does not limit."""
    for ceiling in ceilings:
        if ceiling is not None and price > ceiling:
            raise PriceAboveMax(required=price, ceiling=ceiling)
    return price


@dataclass(slots=True)
class Balance:
    """The balance of one tenant, in micro-credits. A transaction that changes it has locked it."""

    tenant_id: UUID
    granted: int
    posted: int
    held: int
    overdraft: int
    expiring: int

    @property
    def available(self) -> int:
        """The credits that are neither posted nor held. May be negative, by at most the overdraft."""
        return self.granted - self.posted - self.held

    @property
    def spendable(self) -> int:
        """The largest hold that fits: the available credits and the overdraft."""
        return self.available + self.overdraft


@dataclass(slots=True)
class Budget:
    """What a tenant or one of its keys may spend in the current day or month (UTC), and what it has spent."""

    subject_id: UUID
    period: Period
    starts_on: date
    limit: int
    spent: int
    alerted_percent: int
    refused: bool = False

    @property
    def reached_percent(self) -> int:
        """The highest level of ALERTS_PERCENT that the spent credits reach, or 0; 100 if it has refused a job."""
        if self.refused:
            return 100
        return max((one for one in ALERTS_PERCENT if self.spent * 100 >= one * self.limit), default=0)


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold that is to be made: the highest cost of a job."""

    job_id: UUID
    tenant_id: UUID
    key_id: UUID | None
    amount: int


@dataclass(slots=True)
class Account:
    """A balance and its budgets. `admit` counts each hold in them, so that the next one sees it."""

    balance: Balance
    has_lots: bool = False
    has_budgets: bool = False
    budgets: list[Budget] = field(default_factory=list)

    def admit(self, hold: Hold) -> PaymentRequired | None:
        """Decide whether the hold fits, after those admitted before it. Returns None and counts it, or returns the refusal."""
        budgets = [one for one in self.budgets if one.subject_id in (hold.tenant_id, hold.key_id)]
        for budget in budgets:
            if budget.spent + hold.amount > budget.limit:
                budget.refused = True
                left = max(0, budget.limit - budget.spent)
                return BudgetExceeded(period=budget.period, required=hold.amount, available=left)
        if hold.amount > self.balance.spendable:
            return InsufficientCredits(required=hold.amount, available=self.balance.available)
        self.balance.held += hold.amount
        for budget in budgets:
            budget.spent += hold.amount
        return None


@dataclass(frozen=True, slots=True)
class Lot:
    """Credits that expire together. `left`: the part that is neither held, spent nor expired."""

    id: UUID
    left: int
    expired: bool = False


def draw(lots: Sequence[Lot], amount: int) -> list[tuple[UUID, int]]:
    """Returns (lot id, amount) for each lot that a hold of `amount` draws on. The lots are sorted, the first to expire first.
    The rest of the hold comes from credit that never expires, or from the overdraft."""
    taken = []
    for lot in lots:
        part = min(lot.left, amount)
        if part:
            taken.append((lot.id, part))
            amount -= part
    return taken


@dataclass(frozen=True, slots=True)
class Returned:
    """Where returned credit goes, as (lot id, amount): back into valid lots, or it expires because its lot has expired."""

    to_lots: list[tuple[UUID, int]]
    expired: list[tuple[UUID, int]]


def give_back(drawn: Sequence[tuple[Lot, int]], *, held: int, returned: int, available: int) -> Returned:
    """Split the unspent part of a hold: first to credit that never expires, then to the lots it was drawn from, the last one
    first. `available`: of the balance before the return. Credit that fills an overdraft goes to no lot."""
    free = min(returned, held - sum(amount for _, amount in drawn))
    available += free
    rest = returned - free
    result = Returned([], [])
    for lot, amount in reversed(drawn):
        part = min(amount, rest)
        rest -= part
        kept = filled(part, available)  # the rest of the part fills the overdraft
        available += part
        if kept:
            (result.expired if lot.expired else result.to_lots).append((lot.id, kept))
            available -= kept if lot.expired else 0
    return result


def filled(amount: int, available: int) -> int:
    """The part of an incoming amount that remains after it has filled the overdraft in use."""
    return max(0, amount - max(0, -available))


def charge(*, price_rule: str, markup_micro: int, held: int, cost: int | None) -> int:
    """The charge of a COMPLETED job: the whole hold if the price is fixed or no cost was reported; else the reported cost
    times the mark-up, rounded half up and at most the hold."""
    if price_rule == "fixed" or cost is None:
        return held
    return min(held, marked_up(cost, markup_micro))


def marked_up(cost: int, markup_micro: int) -> int:
    """A cost times a mark-up in millionths, rounded half up."""
    return (cost * markup_micro + MICRO // 2) // MICRO


def uncovered(
    *, price_rule: str, markup_micro: int, held: int, charged: int, cost: int | None
) -> tuple[ExposureReason, int] | None:
    """The part of a COMPLETED job's reported cost that its tenant does not pay, and why. None if it pays all."""
    if cost is None or cost <= charged:
        return None
    above_hold = price_rule == "metered" and marked_up(cost, markup_micro) > held
    return ExposureReason.COST_ABOVE_HOLD if above_hold else ExposureReason.COST_ABOVE_PRICE, cost - charged
