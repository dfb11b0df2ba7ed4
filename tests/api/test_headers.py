"""Headers of every answer: nothing is kept by a cache, and no browser guesses what it is."""

import asyncio

import httpx
import pytest

from tests.gateway import Gateway

PATHS = [
    ("GET", "/v1/get-user-credits", 200),
    ("POST", "/v2/sim-instant", 200),
    ("POST", "/v1/sim-instant", 200),
    ("POST", "/v2/a/b", 404),
    ("GET", f"/v2/requests/job_{'0' * 32}", 404),
    ("GET", "/api/v1/jobs", 200),
    ("GET", "/api/v1/jobs/x", 404),
    ("GET", "/api/v1/nowhere", 404),
    ("DELETE", "/api/v1/balance", 405),
    ("GET", "/admin/v1/tenants", 401),
    ("GET", "/healthz", 200),
    ("GET", "/nowhere", 404),
]


@pytest.mark.parametrize(("verb", "path", "status"), PATHS)
async def test_no_answer_is_kept_or_guessed_at(client: httpx.AsyncClient, verb: str, path: str, status: int) -> None:
    answer = await client.request(verb, path, **({"json": {}} if verb == "POST" else {}))  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


async def test_what_is_no_http_is_answered_so_too(stack: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stack.url.rpartition(":")[2]))
    writer.write(b"this is no HTTP\r\n\r\n")
    answer = (await asyncio.wait_for(reader.read(), 30)).lower()
    writer.close()
    assert answer.startswith(b"http/1.1 400 ")
    assert b"\r\ncache-control: no-store\r\n" in answer
    assert b"\r\nx-content-type-options: nosniff\r\n" in answer
