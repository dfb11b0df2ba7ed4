"""Row types of jobs that several modules use."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ShownJob:
    """What the native API shows of a job, without its input and output. due_at: None also if the job is parked.

    read_at: the database's clock. metadata: as it was submitted. message: the message of its error.
    """

    id: UUID
    model: str
    state: str
    priority: int
    created_at: datetime
    submitted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    deadline_at: datetime | None
    attempt: int
    polls: int
    error_code: str | None
    run_seconds: float | None
    sent_at: datetime | None
    rank_at: datetime
    ready: bool
    due_at: datetime | None
    read_at: datetime
    late_result: bool
    recovered: bool
    held_micro: int
    charged_micro: int
    metadata: dict[str, Any] | None
    message: str | None
    webhook_url: str | None


@dataclass(frozen=True, slots=True)
class WholeJob(ShownJob):
    """All that the native API shows of a job. body: the upstream's final body."""

    input: bytes
    body: bytes | None


@dataclass(frozen=True, slots=True)
class EventJob(ShownJob):
    """What events show of a job. body: None also if it is too large for an event."""

    result_bytes: int | None
    body: bytes | None


class JobResult(NamedTuple):
    """What the upstream's own surface shows of a job. body: the upstream's final body. withdrawn: whether its result was another
    job's. available_micro: for a completed job, the available micro-credits of its tenant."""

    id: UUID
    state: str
    error_code: str | None
    charged_micro: int
    message: str | None
    body: bytes | None
    withdrawn: bool
    available_micro: int | None
