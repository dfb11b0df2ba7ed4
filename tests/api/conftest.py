"""What the tests of the native surface share."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.gateway import LATER

Job = dict[str, Any]
NewJob = Callable[..., Awaitable[Job]]

PARKED = LATER
"""A `not_before` that keeps a job queued."""


@pytest.fixture
def new_job(client: httpx.AsyncClient) -> NewJob:
    """Submit a job, parked unless told otherwise."""

    async def do(model: str = "sim-instant", *, parked: bool = True, **fields: Any) -> Job:
        body = {"model": model, "input": {}, **({"not_before": PARKED} if parked else {}), **fields}
        answer = await client.post("/api/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        job: Job = answer.json()
        return job

    return do


def lasting(answer: httpx.Response) -> Job:
    """The job of an answer without what changes by itself while it waits."""
    job: Job = answer.json()
    return {name: value for name, value in job.items() if name not in ("eta", "position")}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal, checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"]
    assert body["title"]
    assert body["detail"]
    return body
