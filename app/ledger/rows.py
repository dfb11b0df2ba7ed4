"""Types of the rows that the ledger's statements return and take."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from app.ledger.decide import Balance, Budget
from app.ledger.models import Period

TransferId = UUID
"""Derived from the transfer's purpose, so that none is inserted twice."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A row of `transfers`. amount: micro-credits; of an adjustment, what the tenant gains."""

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
    """A locked balance. expires: a lot has passed its expiry and is still open."""

    has_lots: bool
    expires: bool
    has_budgets: bool


@dataclass(slots=True)
class ReadBalance(Balance):
    """A balance that is not locked."""

    has_budgets: bool


@dataclass(slots=True)
class SettledBalance(Balance):
    """The balance of a tenant with lots or budgets, before its jobs were settled."""

    has_lots: bool
    has_budgets: bool


class BudgetRow(NamedTuple):
    """A budget, with the credits spent in its current period."""

    tenant_id: UUID
    subject_id: UUID
    period: str
    starts_on: date
    limit_micro: int
    spent_micro: int
    alerted_percent: int

    def budget(self) -> Budget:
        """The budget without its tenant."""
        return Budget(
            self.subject_id,
            Period(self.period),
            self.starts_on,
            self.limit_micro,
            self.spent_micro,
            self.alerted_percent,
        )


class LotRow(NamedTuple):
    """A lot, and the credits left in it."""

    id: UUID
    tenant_id: UUID
    left_micro: int


class Allocation(NamedTuple):
    """The credits that a hold drew from a lot. expired: the lot has expired."""

    hold_id: UUID
    lot_id: UUID
    amount: int
    expired: bool


class Expired(NamedTuple):
    """Expired credit to remove. was_free: the balance counts it as expiring; else it comes back from a hold."""

    id: TransferId
    tenant_id: UUID
    lot_id: UUID
    amount: int
    job_id: UUID | None
    was_free: bool


class NewHold(NamedTuple):
    """A hold to insert."""

    id: TransferId
    tenant_id: UUID
    job_id: UUID
    key_id: UUID | None
    amount: int


class Drawn(NamedTuple):
    """The credits that a new hold draws from a lot."""

    hold_id: UUID
    lot_id: UUID
    amount: int
    tenant_id: UUID


class Spent(NamedTuple):
    """The new spending of a budget."""

    subject_id: UUID
    period: str
    starts_on: date
    spent_micro: int
    percent: int


class Settled(NamedTuple):
    """A hold to resolve, and its job. kind: `post` or `release`."""

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
    """Credit that returns to a lot."""

    tenant_id: UUID
    lot_id: UUID
    amount: int


class Unspent(NamedTuple):
    """The unspent part of a hold."""

    hold_id: UUID
    amount: int


class Exposed(NamedTuple):
    """An exposure to insert."""

    job_id: UUID | None
    tenant_id: UUID | None
    reason: str
    amount: int
    upstream_id: str | None
