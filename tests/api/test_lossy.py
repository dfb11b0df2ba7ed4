"""An output that is no plain JSON spoils no answer of the native surface, and stays as it came on the upstream-shaped one."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from tests.doubles.receiver import receiving
from tests.gateway import SECRET, Gateway, eventually
from tests.test_cli import run

OUTPUTS: dict[str, tuple[bytes, Any, bool]] = {
    "latin-1": (b'"caf\xe9"', "caf\ufffd", True),
    "cut off": (b'{"\xe6\x97":["\xf0\x9f"]}', {"\ufffd": ["\ufffd"]}, True),
    "surrogates as bytes": (b'"\xed\xa0\x80"', "\ufffd" * 3, True),
    "not a number": (b'{"loss":NaN,"max":[-Infinity,Infinity]}', {"loss": None, "max": [None, None]}, True),
    "control characters": (b'"a\tb\x00\x1b[31m\n"', "a\tb\0\x1b[31m\n", False),
    "nothing odd": (b'[\n  1.0,\r\n\t"\xc3\xa9"]', [1.0, "\u00e9"], False),
}
SLUG = "sim-odd"


def strictly(content: bytes) -> Any:
    """As a reader that takes nothing but JSON."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(content.decode(), parse_constant=refuse)


def answers(match: str, status: int, body: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(body).decode()
    return {"match": match, "slug": SLUG, "fault": "answer", "status": status, "body_base64": encoded}


@pytest.mark.parametrize("name", OUTPUTS)
async def test_every_answer_is_json(stack: Gateway, client: httpx.AsyncClient, name: str) -> None:
    raw, shown, lossy = OUTPUTS[name]
    body = b'{"status":"COMPLETED","output":' + raw + b',"metrics":{"cost":0.01}}'
    completed = {"match": "status", "slug": SLUG, "fault": "state", "state": "COMPLETED"}
    async with receiving() as receiver, stack.faults(completed, answers("result", 200, body)):
        made = (await client.post("/api/v1/webhook-endpoints", json={"url": receiver.url})).json()
        answer = await client.post("/api/v1/jobs", json={"model": SLUG, "input": {}}, headers={"prefer": "wait=60"})
        job = strictly(answer.content)
        assert (answer.status_code, job["status"]) == (201, "COMPLETED")
        [told] = await receiver.until(1)
    assert (job["output"], job["output_lossy"]) == (shown, lossy)
    assert told.verified_by(made["secret"])
    assert strictly(told.body)["data"] == {name: value for name, value in job.items() if name != "input"}
    for path in (f"/api/v1/jobs/{job['id']}", "/api/v1/jobs", "/api/v1/events", "/api/v1/deliveries"):
        assert job["id"] in json.dumps(strictly((await client.get(path)).content)), path
    result = await client.get(f"/v2/requests/{job['id']}")
    assert b'"output":' + raw + b',"metrics"' in result.content
    assert (await client.get(f"/v2/requests/{job['id']}/status")).json()["status"] == "COMPLETED"
    assert b'"output":' + raw in (await client.get(f"/v1/requests/{job['id']}")).content


async def test_the_words_of_a_failure_too(stack: Gateway, client: httpx.AsyncClient) -> None:
    error = b'"caf\xe9 \\ud800 \x01"'
    failed = answers("status", 422, b'{"status":"FAILED","error":' + error + b"}")
    async with stack.faults(failed):
        answer = await client.post("/api/v1/jobs", json={"model": SLUG, "input": {}}, headers={"prefer": "wait=60"})
    job = strictly(answer.content)
    assert job["status"] == "FAILED", job
    assert job["error"]["message"].startswith("caf\ufffd")
    assert (job["output"], job["output_lossy"]) == (None, False)
    assert strictly((await client.get("/api/v1/jobs")).content)["items"][0]["error"] == job["error"]

    async def told() -> Any:
        return strictly((await client.get("/api/v1/events")).content)["items"]

    [event] = await eventually(told)
    assert event["data"]["error"] == job["error"]
    result = await client.get(f"/v2/requests/{job['id']}")
    assert (result.status_code, error in result.content) == (422, True)
    settings = {"DATABASE_URL": stack.database_url, "SECRET_KEY": SECRET}
    printed = await asyncio.to_thread(run, "job", "show", job["id"], "--json", **settings)
    assert json.loads(printed.stdout)["message"] == job["error"]["message"]
