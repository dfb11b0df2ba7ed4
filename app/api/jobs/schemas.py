"""Bodies of the native surface. `JobOut` documents them; `job_body` writes them, splicing in what must stay as it was."""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import QueryParams

from app.core import clock
from app.core.credits import show_credits
from app.core.ids import show_id
from app.core.process.pieces import each
from app.core.strict_json import without_bom
from app.jobs.models import FINAL, STATUS, State, Status
from app.jobs.reading.outlook import NO_PROSPECT, Prospect
from app.jobs.rows import EventJob, ShownJob, WholeJob
from app.jobs.submit.starting import NOT_BEFORE_MAX
from app.upstream.json_members import NotAnObject, bytes_of, slices
from app.upstream.plain_json import plain_json
from app.upstream.wire import rewritten
from app.web.fields import At
from app.web.paging import Page
from app.web.requests import (
    DEADLINE_SECONDS_MAX,
    METADATA_BYTES_MAX,
    METADATA_MEMBERS_MAX,
    checked_text,
    malformed,
)
from app.webhooks.models import EventType

OUTPUT_BYTES_MAX = 1_000_000
"""An output above this is linked, not inlined."""

ERROR_LENGTHS = (1000, 300, 100)
"""Characters of an error's message in an event that is too large with all of it, or with more of it."""


ETA_DESCRIPTION = (
    "null: the job has ended, or no estimate is possible: it is paused, waits for its key's own limit, its submission is unknown, or"
    " no run times of its model are known; in the answer to a submit also while there is no recent estimate of the queue"
)
LOSSY_DESCRIPTION = (
    "true: the upstream's output is not plain JSON in UTF-8. Here, invalid bytes are U+FFFD, and NaN and Infinity are null;"
    " `urls.response` returns the original bytes"
)
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
    on_unknown: Literal["hold"] = Field(
        "hold", description="what to do when it is unknown whether a submission arrived"
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
    def of(cls, prospect: Prospect) -> Self | None:
        """None where it is unknown."""
        if prospect.p50 is None or prospect.p90 is None:
            return None
        return cls(p50=prospect.p50, p90=prospect.p90)


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
    output: Any
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
    late_result: bool
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
    late_result: bool
    urls: JobUrls


class JobPage(BaseModel):
    """One page of jobs, newest first."""

    items: list[JobItem]
    next_cursor: str | None


def job_body(base_url: str, row: WholeJob, prospect: Prospect = NO_PROSPECT) -> bytes:
    """The JSON of a job."""
    return orjson.dumps(_whole(base_url, row, prospect))


def canceled_body(base_url: str, row: WholeJob, prospect: Prospect, *, at_once: bool) -> bytes:
    """The JSON of a job that was canceled, `at_once` or once the upstream is done with it, and what that costs."""
    return orjson.dumps(_whole(base_url, row, prospect) | {"notice": FREE_NOTICE if at_once else CHARGED_NOTICE})


def _whole(base_url: str, row: WholeJob, prospect: Prospect) -> dict[str, Any]:
    shown = show_id("job", row.id)
    body = _item(base_url, row, shown, prospect)
    # a mark was stored with it until bodies were read without
    body["input"] = orjson.Fragment(without_bom(row.input))
    output, lossy = _output(row, shown, body["urls"]["response"])
    return body | {"output_lossy": lossy, "output": output}


def event_data(base_url: str, row: EventJob, *, type_: str) -> Iterator[bytes]:
    """The JSON of a job as its events have it, without its input: first whole, then shorter and shorter.

    `job.processing` shows the job as it was when it began to run, also where it has ended since.
    """
    shown = show_id("job", row.id)
    job = _item(base_url, row, shown) | {"output_lossy": False, "output": None}
    if type_ == EventType.JOB_PROCESSING:
        job |= {"status": Status.PROCESSING, "error": None, "finished_at": None}
        job["credits"] = _credits(row.held_micro, finished=False, charged=0)
        job["metrics"] |= {"upstream_seconds": None, "total_seconds": None}
    elif row.state == State.COMPLETED:
        if row.body is not None:
            output, lossy = _output(row, shown, job["urls"]["response"])
            yield orjson.dumps(job | {"output_lossy": lossy, "output": output})
        job["output"] = {"url": job["urls"]["response"], "size_bytes": row.result_bytes}
    yield orjson.dumps(job)
    if job["error"] is not None:
        message = str(job["error"]["message"])
        for length in ERROR_LENGTHS:
            job["error"] |= {"message": message[:length]}
            yield orjson.dumps(job)
    # only metadata that was accepted before METADATA_BYTES_MAX counted bytes; `urls.self` leads to it
    yield orjson.dumps(job | {"metadata": {}, "metadata_omitted": True})


async def page_body(base_url: str, page: Page[ShownJob], prospects: Mapping[UUID, Prospect]) -> bytes:
    """The JSON of a page of jobs; `prospects` of those that have not ended."""
    items = await each(
        page.items,
        lambda row: _item(base_url, row, show_id("job", row.id), prospects.get(row.id, NO_PROSPECT)),
    )
    return orjson.dumps({"items": items, "next_cursor": page.next_cursor})


def _item(base_url: str, row: ShownJob, shown: str, prospect: Prospect = NO_PROSPECT) -> dict[str, Any]:
    state = State(row.state)
    self_url = f"{base_url}/api/v1/jobs/{shown}"
    return {
        "id": shown,
        "model": row.model,
        "status": STATUS[state],
        "error": {"code": row.error_code, "message": row.message} if state is State.FAILED else None,
        "metrics": {
            "queue_seconds": _seconds(row.created_at, row.submitted_at),
            "upstream_seconds": _rounded(row.run_seconds),
            "total_seconds": _seconds(row.created_at, row.finished_at),
            "polls": row.polls,
        },
        "credits": _credits(row.held_micro, finished=state in FINAL, charged=row.charged_micro),
        "eta": None
        if prospect.p50 is None
        else {"p50": clock.rfc3339(prospect.p50), "p90": clock.rfc3339(prospect.p90)},
        "position": prospect.position,
        "metadata": row.metadata or {},
        "webhook_url": row.webhook_url,
        "priority": row.priority,
        "created_at": clock.rfc3339(row.created_at),
        "started_at": clock.rfc3339(row.started_at),
        "finished_at": clock.rfc3339(row.finished_at),
        "cancel_requested_at": clock.rfc3339(row.cancel_requested_at),
        "attempt": row.attempt,
        "late_result": row.late_result,
        "urls": {
            "self": self_url,
            "cancel": f"{self_url}/cancel",
            "status": f"{base_url}/v2/requests/{shown}/status",
            "response": f"{base_url}/v2/requests/{shown}",
        },
    }


def _credits(hold: int, *, finished: bool, charged: int) -> dict[str, str]:
    return {
        "hold": show_credits(hold),
        "held": show_credits(0 if finished else hold),
        "charged": show_credits(charged),
    }


def _output(row: WholeJob | EventJob, shown: str, response_url: str) -> tuple[Any, bool]:
    """The output, or a link to a large one; and whether it lacks something of the upstream's."""
    if row.state != State.COMPLETED or row.body is None:
        return None, False
    try:
        output = slices(rewritten(row.body, request_id=shown, remaining_credits=None), "output").get("output")
    except NotAnObject:
        return None, False
    if output is None:
        return None, False
    size = len(bytes_of(output))
    if size > OUTPUT_BYTES_MAX:
        return {"url": response_url, "size_bytes": size}, False
    raw, lossy = plain_json(output)
    return orjson.Fragment(raw), lossy


def _seconds(since: datetime, until: datetime | None) -> float | None:
    return _rounded((until - since).total_seconds()) if until is not None else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None or math.isnan(seconds) else round(seconds, 3)


def metadata_filter(query: QueryParams) -> dict[str, str]:
    """The `metadata.k=v` of a query string."""
    wanted = {name: value for name, value in query.items() if name.startswith("metadata.")}
    if len(wanted) > METADATA_MEMBERS_MAX:
        raise malformed(
            "query metadata",
            f"expected at most {METADATA_MEMBERS_MAX} of them, as no job has more, e.g. metadata.team=a",
        )
    return {
        checked_text(name, f"query {name}").removeprefix("metadata."): checked_text(value, f"query {name}")
        for name, value in wanted.items()
    }
