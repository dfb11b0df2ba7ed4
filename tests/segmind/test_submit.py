"""`POST /v2/{model}`: what an accepted submit answers, what is stored by then, and what goes upstream."""

import hashlib
import json
import re

import httpx
import pytest

from tests.gateway import UPSTREAM_KEY, Gateway, TenantKey, ended, eventually
from tests.segmind.conftest import Submit

REQUEST_ID = re.compile(r"job_[0-9a-f]{32}")


async def test_the_answer_has_the_upstreams_five_keys_with_our_urls(stack: Gateway, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v2/sim-instant", json={"prompt": "a cat"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    shown = body["request_id"]
    assert REQUEST_ID.fullmatch(shown)
    assert body == {
        "request_id": shown,
        "status": "QUEUED",
        "poll_url": f"{stack.url}/v1/requests/{shown}",
        "status_url": f"{stack.url}/v2/requests/{shown}/status",
        "response_url": f"{stack.url}/v2/requests/{shown}",
    }


async def test_urls_come_from_public_url_whatever_host_was_asked(stack: Gateway, client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{stack.urls[1]}/v2/sim-instant", json={}, headers={"host": "evil.example"})
    assert answer.json()["status_url"].startswith(f"{stack.url}/v2/requests/")
    status = await client.get(answer.json()["status_url"], headers={"host": "evil.example"})
    assert "evil" not in status.text


async def test_public_url_may_have_a_path_and_another_host(stack: Gateway, client: httpx.AsyncClient) -> None:
    async with stack.api(PUBLIC_URL="https://gateway.example/video/") as url:
        answer = await client.post(f"{url}/v2/sim-instant", json={})
        shown = answer.json()["request_id"]
        assert answer.json()["response_url"] == f"https://gateway.example/video/v2/requests/{shown}"
        status = await client.get(f"{url}/v2/requests/{shown}/status")
        if status.json()["status"] != "COMPLETED":
            assert status.json()["status_url"] == f"https://gateway.example/video/v2/requests/{shown}/status"


async def test_a_bearer_token_opens_as_well(client: httpx.AsyncClient, tenant: TenantKey) -> None:
    del client.headers["x-api-key"]
    answer = await client.post("/v2/sim-instant", json={}, headers={"authorization": f"Bearer {tenant.key}"})
    assert answer.status_code == 200


async def test_it_is_stored_before_it_is_answered(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    answer = await client.post("/v2/sim-instant", json={"prompt": "stored"})
    shown = answer.json()["request_id"]
    rows = await stack.sql("SELECT * FROM ops.requests WHERE tenant = $1", tenant.name)
    assert len(rows) == 1
    row = dict(rows[0])
    assert f"job_{row.pop('job_id').hex}" == shown
    del row["received_at"]
    assert row == {
        "tenant": tenant.name,
        "tenant_id": tenant.id,
        "key_id": tenant.key_id,
        "surface": "segmind",
        "model": "sim-instant",
        "status_code": 200,
        "code": "accepted",
        "count": 1,
    }


BODIES = {
    "spaced": b'{ "prompt" : "a cat" , "n" : 1 }',
    "numbers": b'{"big":123456789012345678901234567890,"small":1e-400,"huge":1e999,"neg":-0.0,"exp":1E+2}',
    "strings": '{"esc":"\\u00e9\\u0000\\ud800","raw":"é漢😀","slash":"\\/"}'.encode(),
    "order": b'{"z":1,"a":2,"m":{"y":1,"b":2}}',
    "whitespace": b'\n\t{"a":\r\n[1 , 2]}\n ',
    "empty": b"{}",
    "reserved names": b'{"timeout":1,"interval":2,"model":"x","input":{},"webhook_url":"y","request_id":"z"}',
}


@pytest.mark.parametrize("name", BODIES)
async def test_what_reaches_the_upstream_is_byte_for_byte_what_was_sent(
    stack: Gateway, submit: Submit, client: httpx.AsyncClient, name: str
) -> None:
    body = BODIES[name]
    shown = await submit("sim-instant", body)
    assert (await ended(client, shown))["status"] == "COMPLETED"
    (row,) = await stack.sql("SELECT upstream_id FROM ops.jobs WHERE job_id = $1::text::uuid", shown[4:])
    (fact,) = [fact for fact in stack.book.facts("started") if fact["request_id"] == row["upstream_id"]]
    assert fact["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert fact["key"] == UPSTREAM_KEY[-4:]


async def test_options_travel_in_headers_and_not_upstream(stack: Gateway, client: httpx.AsyncClient) -> None:
    headers = {"x-metadata": '{"project":"alpha","n":7,"ok":true}', "x-priority": "9", "x-deadline-seconds": "600.5"}
    answer = await client.post("/v2/sim-instant", json={"k": "options"}, headers=headers)
    job = await ended(client, answer.json()["request_id"])
    assert job["metadata"] == {"project": "alpha", "n": 7, "ok": True}
    assert job["priority"] == 9
    assert job["input"] == {"k": "options"}
    (row,) = await stack.sql("SELECT * FROM ops.jobs WHERE job_id = $1::text::uuid", job["id"][4:])
    assert (row["deadline_at"] - row["created_at"]).total_seconds() == pytest.approx(600.5, abs=0.01)


async def test_a_deadline_that_passes_before_it_is_sent_fails_it(stack: Gateway, client: httpx.AsyncClient) -> None:
    client.headers.update((await stack.tenant(max_in_flight=0)).headers)
    answer = await client.post("/v2/sim-instant", json={}, headers={"x-deadline-seconds": "0.2"})
    job = await ended(client, answer.json()["request_id"])
    assert job["status"] == "FAILED"
    assert job["error"]["code"] == "deadline_exceeded"
    status = await client.get(answer.json()["status_url"])
    assert status.status_code == 422
    assert status.json()["code"] == "deadline_exceeded"


async def test_while_it_runs_status_and_result_are_alike(
    stack: Gateway, client: httpx.AsyncClient, submit: Submit
) -> None:
    shown = await submit("sim-hang")
    expected = {
        "status": "PROCESSING",
        "request_id": shown,
        "status_url": f"{stack.url}/v2/requests/{shown}/status",
        "response_url": f"{stack.url}/v2/requests/{shown}",
        "metrics": {},
    }

    async def processing() -> bool:
        answer = await client.get(f"/v2/requests/{shown}/status")
        assert answer.status_code == 200
        return bool(answer.json()["status"] == "PROCESSING")

    await eventually(processing)
    for path in (f"/v2/requests/{shown}/status", f"/v2/requests/{shown}", f"/v1/requests/{shown}"):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert json.loads(answer.content) == expected
