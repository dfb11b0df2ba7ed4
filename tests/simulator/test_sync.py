"""POST /v1/{slug}: blocks until the run has ended."""

import time
from collections.abc import Awaitable, Callable

import httpx
import pytest

from app.simulator.surface.serve import RunningSimulator


async def test_a_media_model_answers_with_its_bytes(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.config.speed, sim.config.sigma, sim.config.queue_mean_seconds = 5, 0, 0
    began = time.monotonic()
    response = await client.post("/v1/sim-video", json={"seed": 3})
    assert 0.2 <= time.monotonic() - began < 2
    assert (response.status_code, response.headers["content-type"]) == (200, "video/mp4")
    assert response.content[4:8] == b"ftyp"
    ((request_id, cost),) = sim.book.charged().items()
    assert response.headers["x-request-id"] == request_id
    assert float(response.headers["x-cost"]) == cost / 1e6
    assert float(response.headers["x-remaining-credits"]) == sim.config.credits_micros / 1e6
    assert response.headers["x-generation-time"] == "0.2"
    assert response.headers["x-seed-value"] == "3"
    assert (await client.get(f"/files/{request_id}.mp4")).content == response.content


async def test_a_text_model_answers_in_json(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/sim-text", json={})
    assert response.headers["content-type"] == "application/json"
    assert response.json()["choices"][0]["message"]["role"] == "assistant"


async def test_echo_on_v1(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/sim-echo", json={"echo": [1, 2]})
    assert response.json() == {"output": [1, 2]}


async def test_beyond_the_limit_it_is_504_and_the_run_goes_on(
    client: httpx.AsyncClient, sim: RunningSimulator, finished: Callable[[str], Awaitable[httpx.Response]]
) -> None:
    sim.config.speed, sim.config.sigma, sim.config.sync_limit_seconds = 4, 0, 0.05
    response = await client.post("/v1/sim-video", json={})
    assert (response.status_code, response.headers["content-type"]) == (504, "text/html; charset=utf-8")
    (request_id,) = sim.book.started_ids()
    assert sim.book.charged() == {}
    assert (await finished(request_id)).status_code == 200


@pytest.mark.parametrize(("slug", "status"), [("motionctrl-svd", 400), ("sim-fail", 500), ("sim-retired", 410)])
async def test_failures(client: httpx.AsyncClient, slug: str, status: int) -> None:
    response = await client.post(f"/v1/{slug}", json={})
    assert (response.status_code, set(response.json())) == (status, {"error"})


async def test_later_requests_of_a_connection_wait_their_turn(
    sim: RunningSimulator,
    raw: Callable[..., Awaitable[tuple[bytes, str]]],
    post_bytes: Callable[..., bytes],
    get_bytes: Callable[[str], bytes],
) -> None:
    sim.config.speed, sim.config.sigma = 10, 0
    last = get_bytes("/nowhere")[:-2] + b"connection: close\r\n\r\n"
    came, end = await raw(post_bytes("sim-text", version="v1") + get_bytes("/v2/requests/x") + last)
    answers = [came.index(mark) for mark in (b"choices", b"not found", b"Bad request")]
    assert answers == sorted(answers)
    assert (came.count(b"HTTP/1.1"), end) == (3, "close")
