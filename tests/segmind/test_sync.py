"""`POST /v1/{model}`: the media itself or JSON; 422; 504 while the job goes on."""

import asyncio
import base64
import json

import httpx
import pytest

from tests.doubles.raw_server import answer, in_full, raw_server
from tests.gateway import UPSTREAM_KEY, Gateway, TenantKey, ended
from tests.stopwatch import Stopwatch

JOB_ID_LENGTH = 36


async def test_media_bytes_with_their_type_and_headers(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/sim-instant", json={"prompt": "x"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
    assert len(answer.content) == 2048
    assert len(answer.headers["x-request-id"]) == JOB_ID_LENGTH
    assert float(answer.headers["x-cost"]) == pytest.approx(0.01, rel=0.06)
    left = (await client.get("/v1/get-user-credits")).json()["credits"]
    assert float(answer.headers["x-remaining-credits"]) == left == 1000 - float(answer.headers["x-cost"])
    job = await ended(client, answer.headers["x-request-id"])
    assert job["status"] == "COMPLETED"
    assert (await client.post("/v1/sim-video", json={})).headers["content-type"] == "video/mp4"


async def test_json_of_a_language_model_is_the_providers_own(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/sim-text", json={"messages": []})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["choices"][0]["message"]["content"] == "Simulated answer of sim-text."


ECHOES = {
    "a sentence": (b'"[Laughs] hello"', None),
    "cut-off json": (b'"{\\"a\\":1"', None),
    "json": (b'"{\\"a\\":1e999}"', b'{"a":1e999}'),
    "lone surrogate": (b'"{\\"a\\":\\"\\ud800\\"}"', None),
    "object": (b'{"a":1}', None),
    "foreign url": (b'"https://elsewhere.example/x.png"', None),
    "own host, odd url": (b'"%URL%/\\u0000\\n"', None),
    "own host, no file": (b'"%URL%/files/none.png"', None),
    "a port that is none": (b'"http://127.0.0.1:99999999/x"', None),
    "bad ipv6": (b'"http://[::1"', None),
}


@pytest.mark.parametrize("name", ECHOES)
async def test_what_is_no_media_is_json(stack: Gateway, client: httpx.AsyncClient, name: str) -> None:
    echo, expected = ECHOES[name]
    echo = echo.replace(b"%URL%", stack.upstream_url.encode())
    headers = {"content-type": "application/json"}
    answer = await client.post("/v1/sim-echo", content=b'{"echo":' + echo + b"}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    if expected is not None:
        assert answer.content == expected
    else:
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert b'"output":' + echo in answer.content


async def test_media_of_other_hosts_by_leave_of_the_operator(stack: Gateway, client: httpx.AsyncClient) -> None:
    file = answer(b"GIF89a", "200 OK", "content-type: image/gif")
    async with raw_server(in_full(file)) as inside, raw_server(in_full(file)) as ours:
        refused = await client.post("/v1/sim-echo", json={"echo": f"{inside.url}/x.gif"})
        assert (refused.status_code, refused.json()["output"]) == (200, f"{inside.url}/x.gif")
        assert inside.peers == []
        async with stack.api(OUTPUT_ALLOW_NETWORKS="127.0.0.0/8") as url:
            taken = await client.post(f"{url}/v1/sim-echo", json={"echo": f"{ours.url}/x.gif"})
        assert (taken.content, taken.headers["content-type"]) == (b"GIF89a", "image/gif")
        assert UPSTREAM_KEY.encode() not in ours.received
        assert b"x-api-key" not in ours.received.lower()


@pytest.mark.parametrize("told", ["text/html\tx", "caf\u00e9/\u2603", ""])
async def test_a_media_type_that_cannot_be_shown(stack: Gateway, client: httpx.AsyncClient, told: str) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-type: {told}\r\n\r\n".encode()
    async with (
        raw_server(in_full(head + b"abc")) as ours,
        stack.api(OUTPUT_ALLOW_NETWORKS="127.0.0.0/8") as url,
    ):
        taken = await client.post(f"{url}/v1/sim-echo", json={"echo": f"{ours.url}/x"})
    assert (taken.content, taken.headers["content-type"]) == (b"abc", "application/octet-stream")


@pytest.mark.parametrize(
    "metrics", ["[1]", '"x"', "null", '{"cost":"much"}', '{"cost":true}', '{"cost":1e-7,"inference_time":0.5}']
)
async def test_metrics_of_any_kind(stack: Gateway, client: httpx.AsyncClient, metrics: str) -> None:
    body = f'{{"status":"COMPLETED","output":{{}},"metrics":{metrics}}}'.encode()
    rule = {"match": "result", "slug": "sim-odd", "fault": "answer", "status": 200}
    async with stack.faults(
        {"match": "status", "slug": "sim-odd", "fault": "state", "state": "COMPLETED"},
        {**rule, "body_base64": base64.b64encode(body).decode()},
    ):
        answer = await client.post("/v1/sim-odd", json={})
    assert answer.status_code == 200, answer.text
    if "1e-7" in metrics:
        assert (answer.headers["x-cost"], answer.headers["x-generation-time"]) == ("0.0", "0.5")
    else:
        [row] = await stack.sql("SELECT cost_micro FROM jobs ORDER BY created_at DESC LIMIT 1")
        assert 0 < row["cost_micro"] < 100_000, "the status told it"
        assert round(float(answer.headers["x-cost"]) * 1_000_000) == row["cost_micro"], "it is charged, not the hold"
        assert "x-generation-time" not in answer.headers


async def test_a_failure_is_422(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/sim-fail", json={})
    assert answer.status_code == 422
    assert answer.json()["error"] == "The model could not process this request."
    assert answer.json()["code"] == "upstream_failed"


async def test_504_and_the_job_goes_on(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    slow = {"match": "submit", "slug": "sim-instant", "fault": "delay", "seconds": 1}
    async with stack.faults(slow):
        watch = Stopwatch()
        answer = await client.post("/v1/sim-instant", json={}, headers={"prefer": "wait=0.3"})
        assert watch.own_seconds < 1
        assert answer.status_code == 504
        body = answer.json()
        shown = body["request_id"]
        assert isinstance(body["error"], str)
        assert body["code"] == "still_running"
        assert body["response_url"] == f"{stack.url}/v2/requests/{shown}"
        assert (await ended(client, shown))["status"] == "COMPLETED"
    assert (await client.get(body["response_url"])).json()["status"] == "COMPLETED"
    rows = await stack.sql("SELECT surface, code FROM ops.requests WHERE tenant = $1", tenant.name)
    assert [tuple(row) for row in rows] == [("segmind_sync", "accepted")]


@pytest.mark.parametrize(
    "prefer", ["wait=abc", "wait=-1", "wait=NaN", "wait=1e9", "wait=abc, wait=0", "", "respond-async"]
)
async def test_a_wait_that_is_none_is_ignored(client: httpx.AsyncClient, prefer: str) -> None:
    answer = await client.post("/v1/sim-instant", json={}, headers={"prefer": prefer})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [("wait", "wait=25"), ("wait=", "wait=25"), ("wait=" + "9" * 5_000, "wait=300"), ("wait=20", "wait=20")],
)
async def test_a_wait_that_was_applied_is_told(client: httpx.AsyncClient, prefer: str, applied: str) -> None:
    for model, status in (("sim-instant", 200), ("sim-fail", 422)):
        answer = await client.post(f"/v1/{model}", json={}, headers={"prefer": prefer})
        assert (answer.status_code, answer.headers["preference-applied"]) == (status, applied)


async def test_other_preferences_are_ignored(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/v1/sim-hang", json={}, headers={"prefer": 'respond-async, handling=lenient; x=y, Wait="0"'}
    )
    assert (answer.status_code, answer.headers["preference-applied"]) == (504, "wait=0")


async def test_a_cancel_ends_the_wait(client: httpx.AsyncClient) -> None:
    waiting = asyncio.create_task(client.post("/v1/sim-hang", json={}, headers={"prefer": "wait=1"}))
    answer = await waiting
    assert answer.status_code == 504
    canceled = await client.post(f"/api/v1/jobs/{answer.json()['request_id']}/cancel")
    assert canceled.status_code == 202
    assert json.loads(canceled.content)["status"] == "PROCESSING"
