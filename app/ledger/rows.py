"""Rows of the ledger's statements: what they give, and what they are given."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from app.ledger.decide import Balance, Budget
from app.ledger.models import Period

TransferId = UUID
"""Made from what a transfer is for, so that none is written twice."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A row of `transfers`. amount: micro-credits; of an adjustment what the tenant gains."""

    id: TransferId
    tenant_id: UUID
    kind: str
    amount: int
    job_id: UUID | None
    hold_id: UUID | None
    reference: str | None
    note: str | None
    expires_at: datetime | None
    created_at: datetime


@dataclass(slots=True)
class LockedBalance(Balance):
    """A balance that is locked. expires: whether a lot's time is over."""

    has_lots: bool
    expires: bool
    has_budgets: bool


@dataclass(slots=True)
class ReadBalance(Balance):
    """A balance that is not locked."""

    has_budgets: bool


@dataclass(slots=True)
class SettledBalance(Balance):
    """A balance before its jobs were settled, of a tenant with lots or budgets."""

    has_lots: bool
    has_budgets: bool


class BudgetRow(NamedTuple):
    """A budget, with what is spent of its running period."""

    tenant_id: UUID
    subject_id: UUID
    period: str
    starts_on: date
    limit_micro: int
    spent_micro: int
    alerted_percent: int

    def budget(self) -> Budget:
        """The budget by itself."""
        return Budget(
            self.subject_id,
            Period(self.period),
            self.starts_on,
            self.limit_micro,
            self.spent_micro,
            self.alerted_percent,
        )


class LotRow(NamedTuple):
    """A lot, and what is free in it."""

    id: UUID
    tenant_id: UUID
    left_micro: int


class Allocation(NamedTuple):
    """What a hold has drawn from a lot; expired: the lot is over."""

    hold_id: UUID
    lot_id: UUID
    amount: int
    expired: bool


class Expired(NamedTuple):
    """Credit to be taken away. was_free: it was counted as expiring; else it comes back from a hold."""

    id: TransferId
    tenant_id: UUID
    lot_id: UUID
    amount: int
    job_id: UUID | None
    was_free: bool


class NewHold(NamedTuple):
    """A hold to be made."""

    id: TransferId
    tenant_id: UUID
    job_id: UUID
    key_id: UUID | None
    amount: int


class Drawn(NamedTuple):
    """What a new hold takes from a lot."""

    hold_id: UUID
    lot_id: UUID
    amount: int
    tenant_id: UUID


class Spent(NamedTuple):
    """What a budget has come to."""

    subject_id: UUID
    period: str
    starts_on: date
    spent_micro: int
    percent: int


class Settled(NamedTuple):
    """A hold to be resolved, and the job it was for. kind: `post` or `release`."""

    id: TransferId
    tenant_id: UUID
    job_id: UUID
    hold_id: UUID
    kind: str
    charged: int
    ended_at: datetime
    key_id: UUID | None
    model: str
    outcome: str
    cost: int | None
    run_seconds: float | None


class Refilled(NamedTuple):
    """Credit that goes back to a lot."""

    tenant_id: UUID
    lot_id: UUID
    amount: int


class Unspent(NamedTuple):
    """What of a hold was not spent."""

    hold_id: UUID
    amount: int


class Exposed(NamedTuple):
    """Exposure to be written down."""

    job_id: UUID
    tenant_id: UUID
    reason: str
    amount: int
    upstream_id: str | None
