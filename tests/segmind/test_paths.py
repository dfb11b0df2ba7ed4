"""What no route was made for: unknown paths, wrong verbs, bytes that are hardly HTTP. JSON always, HTML never."""

import asyncio
import json
from urllib.parse import urlsplit

import httpx
import pytest

from tests.gateway import Gateway, TenantKey


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/v3/x", 404),
        ("POST", "/v2", 404),
        ("POST", "/v2/sim-instant/", 404),
        ("GET", "/v2/requests", 404),
        ("GET", "/v2/requests/", 404),
        ("GET", "/v2/sim-instant", 405),
        ("PUT", "/v2/sim-instant", 405),
        ("DELETE", f"/v2/requests/job_{'0' * 32}", 405),
        ("PATCH", f"/v2/requests/job_{'0' * 32}/status", 405),
        ("OPTIONS", "/v2/sim-instant", 405),
        ("GET", "/v2/requests/a/b/c", 404),
        ("GET", "/index.html", 404),
        ("GET", "/v2/%", 404),
        ("GET", "/%zz%", 404),
        ("GET", "/%00", 404),
        ("GET", "/%FF%FE", 404),
        ("POST", "/v2/a%0Ab", 404),
    ],
)
async def test_errors_are_json(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert isinstance(body["error"], str)
    assert isinstance(body["code"], str)
    assert "detail" not in body
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/", 404),
        ("GET", "/api/v1/jobs/", 404),
        ("PUT", "/api/v1/jobs", 405),
        ("DELETE", "/api/v1/jobs/x", 405),
    ],
)
async def test_errors_below_api_are_problems(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


async def raw(stack: Gateway, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes; status, headers and body of the answer."""
    parts = urlsplit(stack.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(data)
        async with asyncio.timeout(60):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
        return int(lines[0].split()[1]), headers, body
    finally:
        writer.close()


HARDLY_HTTP = {
    "non-ascii path": "POST /v2/café HTTP/1.1\r\nhost: x\r\n\r\n".encode(),
    "NUL in path": b"POST /v2/a\0b HTTP/1.1\r\nhost: x\r\n\r\n",
    "NUL in header": b"POST /v2/a HTTP/1.1\r\nhost: x\r\nx-metadata: a\0b\r\n\r\n",
    "two lengths": b"POST /v2/a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "length and chunks": b"POST /v2/a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"POST /v2/a HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    "huge length": b"POST /v2/a HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
    "no http": b"hello\r\n\r\n",
    "no http, below api": b"GET /api/v1/jobs HTTP/1.1\r\nhost: x\r\nx y: z\r\n\r\n",
    "endless header": b"GET /v2/a HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 200_000 + b"\r\n\r\n",
    "many headers": b"GET /v2/a HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * 20_000 + b"\r\n",
    "endless path": b"GET /v2/" + b"a" * 200_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", HARDLY_HTTP)
async def test_what_is_hardly_http_is_400_in_json(stack: Gateway, name: str) -> None:
    status, headers, body = await raw(stack, HARDLY_HTTP[name])
    assert status == (431 if "endless" in name or "many" in name else 400)
    assert headers["content-type"] in ("application/json", "application/problem+json")
    assert isinstance(json.loads(body)["code"], str)
    assert isinstance(json.loads(body)["error"], str)


@pytest.mark.parametrize(
    "header",
    [
        "x-metadata: {\"a\":\"café\"}".encode(),
        b"x-metadata: {\"a\":\"\xff\"}",
        b"idempotency-key: \xff\xfe",
        b"x-api-key: \xff",
        b"prefer: wait=\xb2",
        b"x-priority: \xb2",
        b"content-length: 2",
        b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==",
    ],
)  # fmt: skip
async def test_non_ascii_headers_are_met_calmly(stack: Gateway, tenant: TenantKey, header: bytes) -> None:
    key = b"" if header.startswith(b"x-api-key") else b"x-api-key: " + tenant.key.encode() + b"\r\n"
    length = b"" if header.startswith(b"content-length") else b"content-length: 2\r\n"
    head = b"POST /v2/sim-instant HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" + key + length
    status, headers, body = await raw(stack, head + header + b"\r\n\r\n{}")
    assert headers["content-type"] == "application/json"
    assert status in (200, 400, 401)
    assert status == 200 or isinstance(json.loads(body)["error"], str)


async def test_a_websocket_is_not_answered_as_one(stack: Gateway) -> None:
    head = (
        b"GET /v2/sim-instant HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    status, headers, _ = await raw(stack, head)
    assert status == 405
    assert headers["content-type"] == "application/json"


async def test_a_body_that_ends_early_is_no_job(stack: Gateway, tenant: TenantKey) -> None:
    parts = urlsplit(stack.url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST /v2/sim-instant HTTP/1.1\r\nhost: x\r\nx-api-key: {tenant.key}\r\ncontent-type: application/json\r\n"
    writer.write(head.encode() + b'content-length: 100\r\n\r\n{"a":1}')
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.3)
    assert await stack.sql("SELECT FROM jobs WHERE tenant_id = $1", tenant.id) == []
