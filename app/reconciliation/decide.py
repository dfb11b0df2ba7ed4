"""Pure functions: compare a row of the history with our job, and our costs with the credits that the upstream took.

All amounts are micro-credits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.jobs.models import FINAL, State
from app.reconciliation.models import DiscrepancyKind
from app.resolution.matching.fitting import added_members, exact
from app.upstream.history_rows import HistoryRow


@dataclass(frozen=True, slots=True)
class OurJob:
    """Our data about one job. Its usage is counted under `key_id` and `finished_at`."""

    id: UUID
    tenant_id: UUID
    key_id: UUID | None
    model: str
    state: State
    upstream_id: str | None
    sent_at: datetime | None
    finished_at: datetime | None
    cost: int | None
    held: int
    charged: int
    price_rule: str
    markup_micro: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", State(self.state))


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A difference that was found. None means "unknown"."""

    kind: DiscrepancyKind
    subject: str
    job_id: UUID | None = None
    tenant_id: UUID | None = None
    upstream_id: str | None = None
    model: str | None = None
    ours: int | None = None
    theirs: int | None = None
    happened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Agrees:
    """Both sides have the same cost."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """It cannot be judged yet: it is running, it is too young, or its cost is not in the history yet."""


@dataclass(frozen=True, slots=True)
class Told:
    """The history has a cost that the job lacks."""

    job: OurJob
    cost: int


@dataclass(frozen=True, slots=True)
class Stranger:
    """A request that no job has. It may repeat the request of a job."""

    row: HistoryRow


Finding = Agrees | NotYet | Told | Stranger | Discrepancy


def judge(row: HistoryRow, job: OurJob | None, *, judged_before: datetime) -> Finding:
    """Compare a row with our data. `job`: the owner of the request. `judged_before`: later data may still be incomplete."""
    if row.created_at is None or row.created_at >= judged_before:
        return NotYet()
    if job is None:
        return Stranger(row)
    if job.state not in FINAL or not row.ended or (job.finished_at or judged_before) >= judged_before:
        return NotYet()
    theirs = row.charged_micro
    if job.cost is not None:
        if theirs is None:
            return NotYet()
        return Agrees() if theirs == job.cost else about(DiscrepancyKind.COST, row, job)
    if theirs is None:
        return about(DiscrepancyKind.COST_UNKNOWN, row, job)
    return Agrees() if theirs == 0 and job.state is State.FAILED else Told(job, theirs)


def about(kind: DiscrepancyKind, row: HistoryRow, job: OurJob | None) -> Discrepancy:
    """Return a discrepancy about one request."""
    return Discrepancy(
        kind,
        row.upstream_id,
        job_id=job.id if job else None,
        tenant_id=job.tenant_id if job else None,
        upstream_id=row.upstream_id,
        model=row.model,
        ours=job.cost if job else None,
        theirs=row.charged_micro,
        happened_at=row.created_at,
    )


def place(row: HistoryRow, candidates: Sequence[tuple[OurJob, Any]], *, named: set[UUID]) -> Discrepancy:
    """Return the discrepancy of a request that no job has, and no attempt with a lost answer may have made. `candidates`: jobs sent
    at about that time, with their parameters. `named`: jobs named for other requests; the one named here is added.

    It repeats a job only if all jobs that fit are interchangeable: of one tenant, with the same parameters. Then it is the one
    sent closest in time.
    """
    at = row.created_at
    fitting = [(job, body) for job, body in candidates if job.upstream_id is not None and _fits(row, body)]
    free = [job for job, _ in fitting if job.id not in named]
    if at is None or not free or len({(job.tenant_id, exact(body)) for job, body in fitting}) > 1:
        return about(DiscrepancyKind.NOT_OURS, row, None)
    job = min(free, key=lambda job: abs((job.sent_at - at).total_seconds()) if job.sent_at else 0.0)
    named.add(job.id)
    return about(DiscrepancyKind.SECOND_START, row, job)


def _fits(row: HistoryRow, body: Any) -> bool:
    """A job without parameters fits only a request without any, since every body contains an empty one."""
    if row.body is None or (not body and row.body):
        return False
    return added_members(row.body, body) is not None


@dataclass(frozen=True, slots=True)
class Explained:
    """Our costs between two readings. `least` must be in the spent credits, `most` may be. `jobs`: how many jobs have them."""

    least: int
    most: int
    jobs: int

    @property
    def tolerance(self) -> int:
        """The cost of each job is rounded to a micro-credit."""
        return self.jobs // 2 + 1


@dataclass(frozen=True, slots=True)
class Spent:
    """The comparison of two readings. `topped_up`: at least so many credits were added. `ours`: the bound of our range that the
    spent credits are outside of; None if they are within it."""

    topped_up: int = 0
    ours: int | None = None


def compare_spent(spent: int, explained: Explained) -> Spent:
    """Compare the credits that were spent between two readings with our recorded costs."""
    if spent > explained.most + explained.tolerance:
        return Spent(ours=explained.most)
    if spent >= explained.least - explained.tolerance:
        return Spent()
    # spent < 0: somebody bought credits. Otherwise the upstream took less than we recorded, so one side is wrong.
    return Spent(topped_up=explained.least - spent) if spent < 0 else Spent(ours=explained.least)
