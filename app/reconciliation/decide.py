"""Pure choices: what a row of the history says about our books, and whether our costs explain what the upstream took.

All amounts are micro-credits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.jobs.models import FINAL, State
from app.reconciliation.models import Kind
from app.upstream.history_rows import HistoryRow, holds


@dataclass(frozen=True, slots=True)
class OurJob:
    """What our books say of one job. `key_id` and `finished_at` are what its usage is counted under."""

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
    """Something that is told differently; None is "not known"."""

    kind: Kind
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
    """Both say the same."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """It cannot be judged now: it is running, or too young, or its cost has not landed."""


@dataclass(frozen=True, slots=True)
class Told:
    """The cost of a job that had not told it."""

    job: OurJob
    cost: int


@dataclass(frozen=True, slots=True)
class Stranger:
    """A request that no job has; it may be a repetition of one."""

    row: HistoryRow


Verdict = Agrees | NotYet | Told | Stranger | Discrepancy


def theirs_of(row: HistoryRow) -> int | None:
    """What they charged; a failed request is free, whether its row says so or nothing."""
    return 0 if row.cost_micro is None and row.status == "FAILED" else row.cost_micro


def judge(row: HistoryRow, job: OurJob | None, *, judged_before: datetime) -> Verdict:
    """What a row says about our books. `job`: whose request it is. `judged_before`: younger ones may not have landed."""
    if row.created_at is None or row.created_at >= judged_before:
        return NotYet()
    if job is None:
        return Stranger(row)
    if job.state not in FINAL or not row.ended or (job.finished_at or judged_before) >= judged_before:
        return NotYet()
    theirs = theirs_of(row)
    if job.cost is not None:
        if theirs is None:
            return NotYet()
        return Agrees() if theirs == job.cost else about(Kind.COST, row, job)
    if theirs is None:
        return about(Kind.COST_UNKNOWN, row, job)
    return Agrees() if theirs == 0 and job.state is State.FAILED else Told(job, theirs)


def about(kind: Kind, row: HistoryRow, job: OurJob | None) -> Discrepancy:
    """A discrepancy over one request."""
    return Discrepancy(
        kind,
        row.upstream_id,
        job_id=job.id if job else None,
        tenant_id=job.tenant_id if job else None,
        upstream_id=row.upstream_id,
        model=row.model,
        ours=job.cost if job else None,
        theirs=theirs_of(row),
        happened_at=row.created_at,
    )


def place(row: HistoryRow, candidates: Sequence[tuple[OurJob, Any]]) -> Discrepancy:
    """Whose a stranger may be: of the jobs sent at about that time, each with its parameters, those that fit it.

    A job of which nobody knew whether it had started comes first, then whichever was sent closest to it.
    """
    at = row.created_at
    fitting = [job for job, body in candidates if _fits(row, body)]
    if not fitting or at is None:
        return about(Kind.NOT_OURS, row, None)

    def distance(job: OurJob) -> tuple[bool, float]:
        return job.upstream_id is not None, abs((job.sent_at - at).total_seconds()) if job.sent_at else 0.0

    job = min(fitting, key=distance)
    kind = Kind.LOST_START if job.upstream_id is None else Kind.SECOND_START
    return about(kind, row, job)


def _fits(row: HistoryRow, body: Any) -> bool:
    """A job that sent no parameters fits a request without any alone: everything holds nothing."""
    return row.body is not None and (row.body == body or (bool(body) and holds(row.body, body)))


@dataclass(frozen=True, slots=True)
class Explained:
    """What our costs between two readings come to: `least` must be in what was spent, `most` may be; over `jobs` jobs."""

    least: int
    most: int
    jobs: int

    @property
    def tolerance(self) -> int:
        """Costs are rounded to a micro-credit each."""
        return self.jobs // 2 + 1


@dataclass(frozen=True, slots=True)
class Spent:
    """What came of comparing two readings: `topped_up`: credits came in, at least so many. `ours`: the end of the range
    that the upstream is beyond; None: it is within it."""

    topped_up: int = 0
    ours: int | None = None


def compare_spent(spent: int, explained: Explained) -> Spent:
    """Whether our recorded costs explain what is less of the company's credits."""
    if spent > explained.most + explained.tolerance:
        return Spent(ours=explained.most)
    if spent >= explained.least - explained.tolerance:
        return Spent()
    # more credits than before: somebody has bought some. Fewer, but not as few as we recorded: one of us is wrong.
    return Spent(topped_up=explained.least - spent) if spent < 0 else Spent(ours=explained.least)
