"""Pure decisions: what a job is charged, what may be held, and on which lots a hold draws.

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
    """402, 406 on the upstream-shaped surface: credits, a budget or a ceiling forbid the job."""

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
    """402: the price is above a ceiling of the job or tenant."""

    code = "price_above_max"

    def __init__(self, *, required: int, ceiling: int) -> None:
        needs, most = show_credits(required), show_credits(ceiling)
        super().__init__(f"price {needs} exceeds max_price {most}", extra={"required": needs, "max": most})


def checked_price(price: int, *, ceilings: Iterable[int | None]) -> int:
    """Returns the price. Raises PriceAboveMax if a ceiling is below it; None is no ceiling."""
    for ceiling in ceilings:
        if ceiling is not None and price > ceiling:
            raise PriceAboveMax(required=price, ceiling=ceiling)
    return price


@dataclass(slots=True)
class Balance:
    """A tenant's balance. A transaction that changes it has locked it."""

    tenant_id: UUID
    granted: int
    posted: int
    held: int
    overdraft: int
    expiring: int

    @property
    def available(self) -> int:
        """Neither posted nor held. May be negative, by at most the overdraft."""
        return self.granted - self.posted - self.held

    @property
    def spendable(self) -> int:
        """The largest hold that fits."""
        return self.available + self.overdraft


@dataclass(slots=True)
class Budget:
    """What a tenant or one of its keys may spend in the current UTC day or month."""

    subject_id: UUID
    period: Period
    starts_on: date
    limit: int
    spent: int
    alerted_percent: int
    refused: bool = False

    @property
    def reached_percent(self) -> int:
        """The highest of ALERTS_PERCENT that `spent` reaches, or 0; 100 if it has refused a job."""
        if self.refused:
            return 100
        return max((one for one in ALERTS_PERCENT if self.spent * 100 >= one * self.limit), default=0)


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold to insert: the highest cost of a job."""

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
        """Count the hold if it fits after those admitted before. Returns None, or the refusal."""
        budgets = [budget for budget in self.budgets if budget.subject_id in (hold.tenant_id, hold.key_id)]
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
    """Credits that expire together. `left`: neither held, spent nor expired."""

    id: UUID
    left: int
    expired: bool = False


def draw(lots: Sequence[Lot], amount: int) -> list[tuple[UUID, int]]:
    """Returns (lot id, amount) for each lot that a hold draws on. `lots`: the first to expire first. The rest is credit that
    never expires, or overdraft."""
    taken = []
    for lot in lots:
        part = min(lot.left, amount)
        if part:
            taken.append((lot.id, part))
            amount -= part
    return taken


@dataclass(frozen=True, slots=True)
class Returned:
    """Returned credit as (lot id, amount): back into valid lots, or expired with its lot."""

    to_lots: list[tuple[UUID, int]]
    expired: list[tuple[UUID, int]]


def give_back(drawn: Sequence[tuple[Lot, int]], *, held: int, returned: int, available: int) -> Returned:
    """Where the unspent part of a hold goes: first to credit that never expires, then to the lots it was drawn from, the last
    one first. `available`: before the return. What fills an overdraft goes to no lot."""
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
    """What remains of an incoming amount after it has filled an overdraft."""
    return max(0, amount - max(0, -available))


def charge(*, price_rule: str, markup_micro: int, held: int, cost: int | None) -> int:
    """The charge of a COMPLETED job: the hold if the price is fixed or no cost was reported; else the cost times the mark-up,
    rounded half up and at most the hold."""
    if price_rule == "fixed" or cost is None:
        return held
    return min(held, marked_up(cost, markup_micro))


def marked_up(cost: int, markup_micro: int) -> int:
    """A cost times a mark-up in millionths, rounded half up."""
    return (cost * markup_micro + MICRO // 2) // MICRO


def uncovered(
    *, price_rule: str, markup_micro: int, held: int, charged: int, cost: int | None
) -> tuple[ExposureReason, int] | None:
    """The part of a COMPLETED job's cost that its tenant does not pay, and why; or None."""
    if cost is None or cost <= charged:
        return None
    above_hold = price_rule == "metered" and marked_up(cost, markup_micro) > held
    return ExposureReason.COST_ABOVE_HOLD if above_hold else ExposureReason.COST_ABOVE_PRICE, cost - charged
