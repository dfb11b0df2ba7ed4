"""What the native surface takes and gives of jobs. `JobOut` documents the answers; `bodies` writes them."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.jobs.models import Status
from app.jobs.reading.eta_estimator import Estimate
from app.jobs.submit.starting import NOT_BEFORE_MAX
from app.web.fields import At
from app.web.requests import DEADLINE_SECONDS_MAX, METADATA_BYTES_MAX

ETA_DESCRIPTION = (
    "null: the job has ended, or no estimate is possible: it is paused, waits for its key's own limit, its submission is unknown, or"
    " no run times of its model are known; in the answer to a submit also while there is no recent estimate of the queue"
)
LOSSY_DESCRIPTION = (
    "true: the upstream's output is not plain JSON in UTF-8. Here, invalid bytes are U+FFFD, and NaN and Infinity are null;"
    " `urls.response` returns the original bytes"
)
OUTPUT_DESCRIPTION = (
    'what the model returned. Above 1 MB `{"url", "size_bytes"}`, but a late result is always here whole. null: there is none;'
    " of a COMPLETED job, the result was withdrawn because it belonged to another request, and the charge was returned; or the"
    " upstream returned null"
)
LATE_DESCRIPTION = "true: the job FAILED with `submission_unknown`, and its result came afterwards. `output` has it; status, error and charge stay"
RECOVERED_DESCRIPTION = "true: the result came from the upstream's request history"
POSITION_DESCRIPTION = (
    "1: the next of its tenant's queue. Counted up to 1,000, then estimated; at most a second old. null: the job was sent, has"
    " ended, or is not ready"
)

FREE_NOTICE = "The job was not started. Its hold is released, and nothing is charged."
CHARGED_NOTICE = (
    "The upstream may be running the job and cannot cancel it. No result is delivered. The hold stays until the job ends;"
    " then its true cost is charged."
)


class JobIn(BaseModel):
    """The body of `POST /jobs`."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(
        description="slug of the model",
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=128,
        examples=["motionctrl-svd"],
    )
    input: dict[str, Any] = Field(
        description="the model's parameters; forwarded byte for byte as sent", max_length=100_000
    )
    metadata: dict[str, str | int | float | bool | None] | None = Field(
        None,
        description=f"at most 50 members and {METADATA_BYTES_MAX} bytes of JSON, stored and returned with the job",
        max_length=50,
    )
    priority: int = Field(5, ge=0, le=9, description="higher goes first")
    deadline_seconds: float | None = Field(
        None,
        gt=0,
        le=DEADLINE_SECONDS_MAX,
        description="if the job is not sent within this number of seconds after it was accepted, it fails and is not charged",
    )
    not_before: datetime | None = Field(
        None,
        description=f"the job is not sent before this time; at most {NOT_BEFORE_MAX.days} days from now, and before the deadline",
    )
    webhook_url: str | None = Field(
        None, description="receives the job's events, in addition to the tenant's endpoints", max_length=2048
    )
    webhook_events: list[Literal["job.completed", "job.failed", "job.canceled", "job.processing"]] | None = Field(
        None, description="by default all but job.processing", min_length=1
    )
    max_price: str | None = Field(
        None, description="refuse the job if it may cost more credits than this", examples=["0.250000"]
    )
    on_unknown: Literal["hold", "resubmit"] = Field(
        "hold",
        description="`hold`: if the answer to the submission is lost, wait for the truth; `resubmit`: also send it once more after"
        " a proof that it did not arrive",
    )


class JobError(BaseModel):
    """Why a job FAILED."""

    code: str
    message: str


class JobMetrics(BaseModel):
    """The times of a job, in seconds, and the number of polls."""

    queue_seconds: float | None
    upstream_seconds: float | None
    total_seconds: float | None
    polls: int


class JobCredits(BaseModel):
    """The hold and the charge of a job; credits with six decimals."""

    hold: str = Field(
        examples=["0.133950"], description="credits that were held when the job was accepted; never changes"
    )
    held: str = Field(
        examples=["0.000000"], description="credits that are held now: the hold, or 0 when the job has ended"
    )
    charged: str = Field(examples=["0.089300"], description="credits that were charged; 0 until the job has ended")


class Eta(BaseModel):
    """When a job will have ended, with probability 50 % and 90 %."""

    p50: At
    p90: At

    @classmethod
    def of(cls, estimate: Estimate) -> Self | None:
        """None where it is unknown."""
        if estimate.p50 is None or estimate.p90 is None:
            return None
        return cls(p50=estimate.p50, p90=estimate.p90)


class JobUrls(BaseModel):
    """Absolute URLs of the job."""

    self: str
    cancel: str
    status: str
    response: str


class JobOut(BaseModel):
    """A job, as the native surface shows it."""

    id: str
    model: str
    status: Status
    input: Any
    output: Any = Field(description=OUTPUT_DESCRIPTION)
    output_lossy: bool = Field(description=LOSSY_DESCRIPTION)
    error: JobError | None
    metrics: JobMetrics
    credits: JobCredits
    eta: Eta | None = Field(description=ETA_DESCRIPTION)
    position: int | None = Field(description=POSITION_DESCRIPTION)
    metadata: dict[str, Any]
    webhook_url: str | None
    priority: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    attempt: int
    late_result: bool = Field(description=LATE_DESCRIPTION)
    recovered: bool = Field(description=RECOVERED_DESCRIPTION)
    urls: JobUrls


class CanceledJobOut(JobOut):
    """A job that was asked to be canceled."""

    notice: str = Field(description="what the cancel means for its credits", examples=[FREE_NOTICE, CHARGED_NOTICE])


class JobItem(BaseModel):
    """A job in a list: without its input and output."""

    id: str
    model: str
    status: Status
    error: JobError | None
    metrics: JobMetrics
    credits: JobCredits
    eta: Eta | None = Field(description=ETA_DESCRIPTION)
    position: int | None = Field(description=POSITION_DESCRIPTION)
    metadata: dict[str, Any]
    webhook_url: str | None
    priority: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    attempt: int
    late_result: bool = Field(description=LATE_DESCRIPTION)
    recovered: bool = Field(description=RECOVERED_DESCRIPTION)
    urls: JobUrls


class JobPage(BaseModel):
    """One page of jobs, newest first."""

    items: list[JobItem]
    next_cursor: str | None
