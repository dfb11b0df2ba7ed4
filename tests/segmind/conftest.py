"""What the tests of the upstream-shaped surface share."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.gateway import eventually

Submit = Callable[..., Awaitable[str]]
Final = Callable[[str], Awaitable[httpx.Response]]


@pytest.fixture
def submit(client: httpx.AsyncClient) -> Submit:
    """Submit parameters to a model; the request's id."""

    async def do(model: str = "sim-instant", content: bytes | None = None, **parameters: Any) -> str:
        if content is None:
            answer = await client.post(f"/v2/{model}", json=parameters)
        else:
            answer = await client.post(f"/v2/{model}", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["request_id"])

    return do


@pytest.fixture
def final(client: httpx.AsyncClient) -> Final:
    """The status answer of a request, once it is COMPLETED or FAILED."""

    async def do(request_id: str) -> httpx.Response:
        async def look() -> httpx.Response | None:
            answer = await client.get(f"/v2/requests/{request_id}/status")
            return answer if answer.json()["status"] in ("COMPLETED", "FAILED") else None

        answer: httpx.Response = await eventually(look)
        return answer

    return do
