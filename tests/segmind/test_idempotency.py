"""`Idempotency-Key`: one name space per tenant over both surfaces, and a fingerprint of values, not of bytes."""

import asyncio
from uuid import uuid4

import httpx
import pytest

from tests.gateway import Gateway, TenantKey, ended, eventually


def headers_of(key: str) -> dict[str, str]:
    return {"idempotency-key": key, "content-type": "application/json"}


async def test_fifty_twins_over_two_processes_are_one_job(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey
) -> None:
    marker = uuid4().hex
    body = f'{{"marker":"{marker}"}}'.encode()

    async def one(number: int) -> httpx.Response:
        url = stack.urls[number % 2]
        return await client.post(f"{url}/v2/sim-instant", content=body, headers=headers_of("twins"))

    answers = await asyncio.gather(*(one(number) for number in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    (shown,) = {answer.json()["request_id"] for answer in answers}
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    await ended(client, shown)
    assert len(stack.book.starts(body)) == 1
    rows = await stack.sql(
        "SELECT code, sum(count)::int AS count FROM ops.requests WHERE tenant = $1 GROUP BY 1", tenant.name
    )
    assert {row["code"]: row["count"] for row in rows} == {"accepted": 1, "replayed": 49}


async def test_one_name_space_over_all_doors(client: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "doors"}
    first = await client.post("/v2/sim-instant", json={"n": 1}, headers=headers)
    native = await client.post("/api/v1/jobs", json={"model": "sim-instant", "input": {"n": 1}}, headers=headers)
    assert native.status_code == 200
    assert native.headers["idempotent-replayed"] == "true"
    assert native.json()["id"] == first.json()["request_id"]
    waited = await client.post("/v1/sim-instant", json={"n": 1}, headers=headers)
    assert waited.status_code == 200
    assert waited.headers["x-request-id"] == first.json()["request_id"]


async def test_another_tenants_key_is_another_key(stack: Gateway, client: httpx.AsyncClient) -> None:
    other = await stack.tenant()
    first = await client.post("/v2/sim-instant", json={"n": 1}, headers=headers_of("mine"))
    second = await client.post("/v2/sim-instant", json={"n": 2}, headers={**headers_of("mine"), **other.headers})
    assert second.status_code == 200
    assert second.json()["request_id"] != first.json()["request_id"]


SAME = {
    "order of keys": (b'{"a":1,"b":{"x":1,"y":2}}', b'{"b":{"y":2,"x":1},"a":1}'),
    "spacing": (b'{"a":[1,2]}', b' {\n"a" : [ 1 , 2 ]\t}'),
    "escapes": ('{"p":"é漢😀/"}'.encode(), b'{"p":"\\u00e9\\u6f22\\ud83d\\ude00\\/"}'),
    "escaped key": (b'{"a":1}', b'{"\\u0061":1}'),
    "httpx 0.25 and 0.28": (
        '{"p": "é", "n": [1, 2]}'.encode().replace("é".encode(), b"\\u00e9"),
        '{"p":"é","n":[1,2]}'.encode(),
    ),
    "spelling of a float": (b'{"a":100.0,"b":1e2,"c":0.1}', b'{"a":1.0E+2,"b":100.0,"c":1e-1}'),
    "the number a JavaScript client writes": (b'{"a":1.0}', b'{"a":1}'),
}


@pytest.mark.parametrize("name", SAME)
async def test_equal_values_are_the_same_request(client: httpx.AsyncClient, name: str) -> None:
    one, other = SAME[name]
    first = await client.post("/v2/sim-instant", content=one, headers=headers_of(name.replace(" ", "-")))
    second = await client.post("/v2/sim-instant", content=other, headers=headers_of(name.replace(" ", "-")))
    assert second.status_code == 200, second.text
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"


DIFFERENT = {
    "value": (b'{"a":1}', b'{"a":2}'),
    "type": (b'{"a":1}', b'{"a":"1"}'),
    "boolean": (b'{"a":true}', b'{"a":1}'),
    "order of a list": (b'{"a":[1,2]}', b'{"a":[2,1]}'),
    "null and nothing": (b'{"a":null}', b"{}"),
    "beyond a double": (b'{"a":1e999}', b'{"a":2e999}'),
    "big integers": (b'{"a":9007199254740993}', b'{"a":9007199254740992}'),
    "many digits": (b'{"a":0.1}', b'{"a":0.10000000000000000001}'),
    "below a double": (b'{"a":1e-400}', b'{"a":0.0}'),
}


@pytest.mark.parametrize("name", DIFFERENT)
async def test_422_for_another_body(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey, name: str) -> None:
    one, other = DIFFERENT[name]
    key = name.replace(" ", "-")
    first = await client.post("/v2/sim-instant", content=one, headers=headers_of(key))
    assert first.status_code == 200
    second = await client.post("/v2/sim-instant", content=other, headers=headers_of(key))
    assert second.status_code == 422
    assert second.json()["code"] == "idempotency_key_reused"
    assert isinstance(second.json()["error"], str)
    native = await client.post(
        "/api/v1/jobs", content=b'{"model":"sim-instant","input":' + other + b"}", headers=headers_of(key)
    )
    assert native.status_code == 422
    assert native.headers["content-type"] == "application/problem+json"
    again = await client.post("/v2/sim-instant", content=one, headers=headers_of(key))
    assert again.json() == first.json()
    rows = await stack.sql(
        "SELECT sum(count)::int AS n FROM ops.requests WHERE tenant = $1 AND status_code = 422", tenant.name
    )
    assert rows[0]["n"] == 2


async def test_422_for_another_model(client: httpx.AsyncClient) -> None:
    await client.post("/v2/sim-instant", json={}, headers=headers_of("model"))
    second = await client.post("/v2/sim-video", json={}, headers=headers_of("model"))
    assert second.status_code == 422


async def test_a_refused_submit_leaves_the_key_free(client: httpx.AsyncClient) -> None:
    refused = await client.post("/v2/motionctrl-svd", json={"fps": 1}, headers=headers_of("free"))
    assert refused.status_code == 400
    assert (await client.post("/v2/sim-instant", json={}, headers=headers_of("free"))).status_code == 200


async def test_a_key_leads_to_its_job_after_the_end(client: httpx.AsyncClient) -> None:
    first = await client.post("/v2/sim-fail", json={}, headers=headers_of("after"))
    shown = first.json()["request_id"]
    await eventually(lambda: _failed(client, shown))
    again = await client.post("/v2/sim-fail", json={}, headers=headers_of("after"))
    assert again.json()["request_id"] == shown
    waited = await client.post("/v1/sim-fail", json={}, headers=headers_of("after"))
    assert waited.status_code == 422
    assert waited.json()["request_id"] == shown


async def _failed(client: httpx.AsyncClient, shown: str) -> bool:
    return (await client.get(f"/v2/requests/{shown}")).status_code == 422
