"""The story of a job, for operators: its row, attempts, events, exchanges and observations. Never its bodies."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.jobs.operations import JobNotFound

EXCHANGES_MAX = 1_000
"""Only the latest are returned: a job that had trouble for a day has thousands."""


@dataclass(frozen=True, slots=True)
class StoryJob:
    """A job as operators see it. paused: whether it is parked; then `due_at` is None."""

    id: UUID
    tenant_id: UUID
    tenant: str
    key_id: UUID | None
    surface: str
    model: str
    state: str
    priority: int
    created_at: datetime
    due_at: datetime | None
    paused: bool | None
    deadline_at: datetime | None
    lease_until: datetime | None
    owner: UUID | None
    fence: int
    attempt: int
    retries: int
    takeovers: int
    sent_at: datetime | None
    submitted_at: datetime | None
    started_at: datetime | None
    gone_since: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    upstream_id: str | None
    upstream_state: str | None
    polls: int
    error_code: str | None
    message: str | None
    run_seconds: float | None
    detection_seconds: float | None
    cost_micro: int | None
    held_micro: int
    charged_micro: int
    idempotency_key: str | None
    on_unknown: str
    late_result: bool
    recovered: bool
    withdrawn_at: datetime | None
    input_bytes: int | None
    result_bytes: int | None
    metadata: dict[str, Any] | None


class StoryEvent(NamedTuple):
    """An event of a job."""

    seq: int
    at: datetime
    from_state: str | None
    to_state: str
    reason: str


class StoryAttempt(NamedTuple):
    """An attempt. outcome: None until it is recorded."""

    attempt: int
    outcome: str | None
    sent_at: datetime
    settled_at: datetime | None
    upstream_id: str | None
    worker: UUID


class StoryExchange(NamedTuple):
    """An HTTP call to the upstream for a job."""

    id: int
    at: datetime
    kind: str
    attempt: int
    status_code: int | None
    outcome: str
    duration_seconds: float
    detail: str


class StoryObservation(NamedTuple):
    """An upstream id that came too late to be the job's own."""

    at: datetime
    attempt: int
    upstream_id: str
    worker: UUID


@dataclass(frozen=True, slots=True)
class Story:
    """A job's row, and the rows that belong to it, each list in order."""

    job: StoryJob
    events: list[StoryEvent]
    attempts: list[StoryAttempt]
    exchanges: list[StoryExchange]
    observations: list[StoryObservation]


_SQL = SqlFolder(__file__)
_GET_STORY_JOB = _SQL.query("get_story_job", StoryJob)
_LIST_JOB_EVENTS = _SQL.query("list_job_events", StoryEvent)
_LIST_JOB_ATTEMPTS = _SQL.query("list_job_attempts", StoryAttempt)
_LIST_EXCHANGES = _SQL.query("list_exchanges", StoryExchange)
_LIST_OBSERVATIONS = _SQL.query("list_observations", StoryObservation)


async def get_story(session: ReadSession, *, job_id: UUID) -> Story:
    """Return the story of any tenant's job. Raises JobNotFound."""
    job = await session.find_row(_GET_STORY_JOB, job_id=job_id)
    if job is None:
        raise JobNotFound
    return Story(
        job=job,
        events=await session.rows(_LIST_JOB_EVENTS, job_id=job_id),
        attempts=await session.rows(_LIST_JOB_ATTEMPTS, job_id=job_id),
        exchanges=await session.rows(_LIST_EXCHANGES, job_id=job_id, exchanges_max=EXCHANGES_MAX),
        observations=await session.rows(_LIST_OBSERVATIONS, job_id=job_id),
    )
