"""All records of a job as operators see them, over HTTP and with `job show --json`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.core.credits import show_credits
from app.core.ids import show_id
from app.jobs.admin.story import Story
from app.jobs.models import STATUS, OnUnknown, State, Status
from app.web.fields import At


class _Told(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class EventOut(_Told):
    """A change of state."""

    seq: int
    at: At
    from_state: State | None
    to_state: State
    reason: str


class AttemptOut(_Told):
    """A numbered attempt to start the job at the upstream."""

    attempt: int
    outcome: str | None = Field(description="null: the request is under way")
    sent_at: At
    settled_at: At | None
    upstream_id: str | None
    worker: str


class ExchangeOut(_Told):
    """One HTTP call to the upstream. Polls that found no change are only counted."""

    at: At
    kind: str
    attempt: int
    status_code: int | None
    outcome: str
    duration_seconds: float
    detail: str


class ObservationOut(_Told):
    """An upstream id that came too late to be the job's own."""

    at: At
    attempt: int
    upstream_id: str
    worker: str


class CreditsOut(_Told):
    """Credits with six decimals."""

    hold: str = Field(description="credits that were held when the job was accepted")
    held: str = Field(description="credits that are held now; 0 when the job has ended")
    charged: str
    cost: str | None = Field(description="the cost that the upstream reported; null: it reported none")

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> Self:
        """Return the credits of a job's row."""
        return cls(
            hold=show_credits(job["held_micro"]),
            held=show_credits(0 if job["finished_at"] is not None else job["held_micro"]),
            charged=show_credits(job["charged_micro"]),
            cost=None if job["cost_micro"] is None else show_credits(job["cost_micro"]),
        )


class JobStory(_Told):
    """One job with its events, attempts and transfers, without its input and output."""

    id: str
    tenant_id: str
    tenant: str
    key_id: str | None
    surface: str
    model: str
    status: Status
    state: State
    priority: int
    created_at: At
    due_at: At | None = Field(description="when the job is processed next")
    paused: bool = Field(description="parked until a pause ends")
    deadline_at: At | None
    lease_until: At | None
    owner: str | None = Field(description="the worker process that has claimed it")
    fence: int
    attempt: int
    retries: int
    takeovers: int
    sent_at: At | None
    submitted_at: At | None
    started_at: At | None
    gone_since: At | None
    finished_at: At | None
    cancel_requested_at: At | None
    upstream_id: str | None
    upstream_state: str | None
    polls: int
    error_code: str | None
    message: str | None
    run_seconds: float | None
    detection_seconds: float | None
    cost_micro: int | None
    credits: CreditsOut
    idempotency_key: str | None
    on_unknown: OnUnknown
    late_result: bool = Field(description="the job FAILED with `submission_unknown`, and its result came afterwards")
    recovered: bool = Field(description="the result came from the upstream's request history")
    withdrawn_at: At | None = Field(
        description="when its result was found to belong to another request, and was taken from it"
    )
    input_bytes: int | None
    result_bytes: int | None
    metadata: dict[str, Any] | None
    events: list[EventOut]
    attempts: list[AttemptOut]
    exchanges: list[ExchangeOut]
    observations: list[ObservationOut]

    @classmethod
    def of(cls, story: Story) -> Self:
        """Return the schema of a story."""
        job = asdict(story.job)
        return cls.model_validate(
            {
                **job,
                "id": show_id("job", job["id"]),
                "tenant_id": show_id("ten", job["tenant_id"]),
                "key_id": job["key_id"] and show_id("key", job["key_id"]),
                "owner": job["owner"] and job["owner"].hex,
                "paused": bool(job["paused"]),
                "credits": CreditsOut.of(job),
                "status": STATUS[State(job["state"])],
                "events": [row._asdict() for row in story.events],
                "attempts": [{**row._asdict(), "worker": row.worker.hex} for row in story.attempts],
                "exchanges": [row._asdict() for row in story.exchanges],
                "observations": [{**row._asdict(), "worker": row.worker.hex} for row in story.observations],
            }
        )


class JobResolved(_Told):
    """The job after an operator's decision."""

    id: str
    status: Status
    state: State
