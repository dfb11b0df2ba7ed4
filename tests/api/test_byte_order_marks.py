"""A byte order mark before a body is taken off, wherever a body of JSON is taken; nothing else before it is."""

import codecs
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.gateway import Gateway, TenantKey, ended

BOM = codecs.BOM_UTF8
JSON = {"content-type": "application/json"}
ADMIN_KEY = "an-admin-key-that-only-tests-know-0123456789"
TENANTS = "/admin/v1/tenants"
BODIES: dict[str, dict[str, Any]] = {
    "/v2/sim-instant": {"prompt": "x"},
    "/v1/sim-instant": {"prompt": "x"},
    "/api/v1/jobs": {"model": "sim-instant", "input": {"prompt": "x"}},
    "/api/v1/jobs/quote": {"model": "sim-instant", "input": {}},
    "/api/v1/webhook-endpoints": {"url": "http://127.0.0.1:9/hook"},
}


@pytest.mark.parametrize("path", BODIES)
async def test_it_is_taken_off_everywhere(client: httpx.AsyncClient, path: str) -> None:
    body = json.dumps(BODIES[path]).encode()
    with_mark = await client.post(path, content=BOM + body, headers=JSON)
    assert with_mark.status_code == (await client.post(path, content=body, headers=JSON)).status_code, with_mark.text
    assert with_mark.status_code < 300
    for odd in (BOM * 2 + body, BOM, body + BOM, codecs.BOM_UTF16_LE + body.decode().encode("utf-16-le")):
        refused = await client.post(path, content=odd, headers=JSON)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_json")


async def test_for_operators_too(stack: Gateway) -> None:
    async with (
        stack.api(ADMIN_KEY=ADMIN_KEY) as url,
        httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=30) as operator,
    ):
        body = json.dumps({"name": f"marked-{uuid4().hex[:8]}"}).encode()
        made = await operator.post(TENANTS, content=BOM + body, headers=JSON)
        assert made.status_code == 201, made.text
        changed = await operator.patch(f"{TENANTS}/{made.json()['id']}", content=BOM + b'{"weight":2}', headers=JSON)
        assert (changed.status_code, changed.json()["weight"]) == (200, 2)
        refused = await operator.post(TENANTS, content=BOM * 2 + body, headers=JSON)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("padding", [0, 100_000])
async def test_it_is_not_sent_on(stack: Gateway, client: httpx.AsyncClient, padding: int) -> None:
    body = json.dumps({"echo": uuid4().hex, "padding": "x" * padding}).encode()
    headers = {**JSON, "idempotency-key": "marked"}
    first = await client.post("/v2/sim-echo", content=BOM + body, headers=headers)
    assert first.status_code == 200, first.text
    job = await ended(client, first.json()["request_id"])
    assert (job["status"], job["input"]) == ("COMPLETED", json.loads(body))
    assert len(stack.book.starts(body)) == 1
    again = await client.post("/v2/sim-echo", content=body, headers=headers)
    assert (again.headers["idempotent-replayed"], again.json()) == ("true", first.json())


async def test_the_rest_stays_byte_for_byte(client: httpx.AsyncClient, tenant: TenantKey, stack: Gateway) -> None:
    body = b'\n{ "echo" : [ 1.0 , 1e2 ],\t"b":"\xef\xbb\xbf" }\r\n'
    shown = (await client.post("/v2/sim-echo", content=BOM + body, headers=JSON)).json()["request_id"]
    job = await client.get(f"/api/v1/jobs/{shown}")
    assert b'"input":' + body + b"," in job.content or b'"input":' + body + b"}" in job.content
