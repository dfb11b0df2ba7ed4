"""What the native surface answers about jobs, as `schemas` documents it: written by hand, splicing in what must stay as it was."""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.api.jobs.schemas import CHARGED_NOTICE, FREE_NOTICE
from app.core import clock
from app.core.credits import show_credits
from app.core.ids import show_id
from app.core.process.pieces import each
from app.core.strict_json import without_bom
from app.jobs.models import FINAL, STATUS, State, Status
from app.jobs.reading.eta_estimator import NO_ESTIMATE, Estimate
from app.jobs.rows import EventJob, ShownJob, WholeJob
from app.upstream.json_members import NotAnObject, bytes_of, slices
from app.upstream.plain_json import plain_json
from app.upstream.wire import rewritten
from app.web.paging import Page
from app.webhooks.models import EventType

OUTPUT_BYTES_MAX = 1_000_000
"""An output above this is linked, not inlined."""

ERROR_LENGTHS = (1000, 300, 100)
"""Characters of an error's message in an event that is too large with all of it, or with more of it."""


def job_body(base_url: str, row: WholeJob, estimate: Estimate = NO_ESTIMATE) -> bytes:
    """The JSON of a job."""
    return orjson.dumps(_whole(base_url, row, estimate))


def canceled_body(base_url: str, row: WholeJob, estimate: Estimate, *, at_once: bool) -> bytes:
    """The JSON of a job that was canceled, `at_once` or once the upstream is done with it, and what that costs."""
    return orjson.dumps(_whole(base_url, row, estimate) | {"notice": FREE_NOTICE if at_once else CHARGED_NOTICE})


def _whole(base_url: str, row: WholeJob, estimate: Estimate) -> dict[str, Any]:
    shown = show_id("job", row.id)
    body = _item(base_url, row, shown, estimate)
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
    elif row.state == State.COMPLETED and row.result_bytes is not None:  # a withdrawn result is gone
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


async def page_body(base_url: str, page: Page[ShownJob], estimates: Mapping[UUID, Estimate]) -> bytes:
    """The JSON of a page of jobs; `estimates` of those that have not ended."""
    items = await each(
        page.items,
        lambda row: _item(base_url, row, show_id("job", row.id), estimates.get(row.id, NO_ESTIMATE)),
    )
    return orjson.dumps({"items": items, "next_cursor": page.next_cursor})


def _item(base_url: str, row: ShownJob, shown: str, estimate: Estimate = NO_ESTIMATE) -> dict[str, Any]:
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
        if estimate.p50 is None
        else {"p50": clock.rfc3339(estimate.p50), "p90": clock.rfc3339(estimate.p90)},
        "position": estimate.position,
        "metadata": row.metadata or {},
        "webhook_url": row.webhook_url,
        "priority": row.priority,
        "created_at": clock.rfc3339(row.created_at),
        "started_at": clock.rfc3339(row.started_at),
        "finished_at": clock.rfc3339(row.finished_at),
        "cancel_requested_at": clock.rfc3339(row.cancel_requested_at),
        "attempt": row.attempt,
        "late_result": row.late_result,
        "recovered": row.recovered,
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
    late = row.state == State.FAILED and row.late_result
    if row.body is None or not (late or row.state == State.COMPLETED):
        return None, False
    try:
        output = slices(rewritten(row.body, request_id=shown, remaining_credits=None), "output").get("output")
    except NotAnObject:
        return None, False
    if output is None:
        return None, False
    size = len(bytes_of(output))
    if size > OUTPUT_BYTES_MAX and not late:  # that URL shows of a FAILED job its error
        return {"url": response_url, "size_bytes": size}, False
    raw, lossy = plain_json(output)
    return orjson.Fragment(raw), lossy


def _seconds(since: datetime, until: datetime | None) -> float | None:
    return _rounded((until - since).total_seconds()) if until is not None else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None or math.isnan(seconds) else round(seconds, 3)
