"""What a body may be and take on the running gateway: digits, bytes a second, time; and who is to be told what."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.gateway import Gateway, TenantKey, eventually
from tests.stopwatch import Stopwatch

LONG = b'{"a":[' + b",".join([b"9" * 3_999] * 2_500) + b"]}"
JSON = {"content-type": "application/json"}


async def connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


def head(path: str, key: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n"
        f"content-length: {length}\r\n\r\n"
    ).encode()


DEAR = b'{"a":[' + b",".join([b"{}"] * 49_000) + b'],"a":1}'
"""Refused for its second `a`, and counts as 3 MB."""


async def test_too_many_digits_are_refused(client: httpx.AsyncClient) -> None:
    for path in ("/v2/sim-instant", "/api/v1/jobs", "/api/v1/jobs/quote", "/api/v1/webhook-endpoints"):
        answer = await client.post(path, content=LONG, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
        assert "100000 digits" in answer.text


async def test_too_many_bytes_are_refused_unparsed(stack: Gateway) -> None:
    tenant = await stack.tenant(rate_per_minute=600)
    async with httpx.AsyncClient(base_url=stack.url, headers=tenant.headers | JSON, timeout=120) as client:
        answers = await asyncio.gather(*(client.post("/v2/sim-instant", content=DEAR) for _ in range(60)))
        assert {one.status_code for one in answers} == {400, 429}
        refused = next(one for one in answers if one.status_code == 429)
        assert refused.json()["code"] == "parse_budget"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await client.post("/v2/sim-instant", json={"prompt": "x"})).status_code == 200
    other = await stack.tenant(rate_per_minute=600)
    async with httpx.AsyncClient(base_url=stack.url, headers=other.headers | JSON, timeout=120) as client:
        assert (await client.post("/v2/sim-instant", content=DEAR)).status_code == 400


@pytest.mark.slow
async def test_others_are_answered_promptly_beside_large_bodies(stack: Gateway, client: httpx.AsyncClient) -> None:
    hostile = await stack.tenant()
    bodies = [
        LONG[:1_000_000] + b"]}",
        b'{"a":[' + b",".join([b"0.12345678901234567"] * 50_000) + b"]}",
        b'{"a":[' + b",".join([b"{}"] * 49_000) + b"]}",
        b"{" + b",".join(b'"%x":1' % one for one in range(90_000)) + b"}",
    ]

    async def flood() -> None:
        async with httpx.AsyncClient(base_url=stack.url, headers=hostile.headers | JSON, timeout=60) as attacker:
            for number in range(12):
                headers = {"idempotency-key": f"k-{number}"}
                await attacker.post("/v2/sim-instant", content=bodies[number % len(bodies)], headers=headers)
                await asyncio.sleep(0.2)

    async def waits(beside: "asyncio.Task[None]") -> list[float]:
        took = []
        while not beside.done():
            watch = Stopwatch()
            assert (await client.get("/healthz")).status_code == 200
            took.append(watch.own_seconds)
            await asyncio.sleep(0.005)
        return sorted(took)

    await client.get("/healthz")
    alone = await waits(asyncio.create_task(asyncio.sleep(2)))
    flooding = asyncio.create_task(flood())
    beside = await waits(flooding)
    await flooding
    p99 = [one[int(len(one) * 0.99)] * 1e3 for one in (alone, beside)]
    print(f"p99 of /healthz alone {p99[0]:.1f} ms, beside large bodies {p99[1]:.1f} ms")
    assert p99[1] < 1_000


async def test_what_is_refused_unread_ends_its_connection(stack: Gateway, tenant: TenantKey) -> None:
    for key, length, status in (("nobody", 5_000_000, b"401"), (tenant.key, 11_000_000, b"413")):
        reader, writer = await connected(stack.url)
        writer.write(head("/v2/sim-instant", key, length) + b"{" * 50_000)
        async with asyncio.timeout(30):
            answer = await reader.read()
        assert answer.split()[1] == status
        assert b"connection: close" in answer
        writer.close()


@pytest.fixture
async def alone(stack: Gateway) -> AsyncIterator[tuple[str, psutil.Process]]:
    """An API process that nobody else uses, by its URL."""
    async with stack.api() as url:
        yield url, psutil.Process(stack.processes[-1].pid)


async def test_half_sent_bodies_take_little_memory(alone: tuple[str, psutil.Process], tenant: TenantKey) -> None:
    """50 of 10 MB took a process from 144 to 637 MB."""
    url, process = alone
    before = process.memory_info().rss
    most = before
    held = []
    for _ in range(50):
        reader, writer = await connected(url)
        writer.write(head("/v2/sim-instant", tenant.key, 10_000_000))
        held.append((reader, writer, asyncio.create_task(_send(writer))))
    for _ in range(20):
        await asyncio.sleep(0.1)
        most = max(most, process.memory_info().rss)
    statuses = []
    for reader, writer, sending in held:
        sending.cancel()
        with contextlib.suppress(TimeoutError, OSError, IndexError):  # most have no answer yet
            async with asyncio.timeout(0.05):
                statuses.append((await reader.read(100)).split()[1])
        writer.close()
    print(f"from {before >> 20} to {most >> 20} MB, {statuses.count(b'503')} refused")
    assert most - before < 200 << 20
    assert b"503" in statuses

    async def others_work() -> bool:
        async with httpx.AsyncClient(base_url=url, headers=tenant.headers | JSON, timeout=30) as client:
            answer = await client.post("/v2/sim-instant", content=json.dumps({"a": "x" * 5_000_000}))
        return answer.status_code == 200

    await eventually(others_work)


async def _send(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # a refused body is not read to its end
        for _ in range(18):
            writer.write(b'{"a":"' + b"x" * 500_000)
            await writer.drain()


async def test_operators_bodies_are_read_as_strictly(stack: Gateway) -> None:
    admin = "an-admin-key-that-only-tests-know-0123456789"
    async with (
        stack.api(ADMIN_KEY=admin) as url,
        httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {admin}"}, timeout=30) as operator,
    ):
        twice = await operator.post("/admin/v1/tenants", content=b'{"name":"a","name":"b"}', headers=JSON)
        assert (twice.status_code, twice.json()["code"]) == (400, "invalid_json")
        large = await operator.post("/admin/v1/tenants", content=b'{"name":"' + b"a" * 2_000_000, headers=JSON)
        assert (large.status_code, large.json()["code"]) == (413, "body_too_large")


@pytest.mark.slow
@pytest.mark.parametrize("count", [2_000 if os.environ.get("CHAOS_LONG") else 300])
async def test_a_healthy_client_beside_slow_connections(stack: Gateway, client: httpx.AsyncClient, count: int) -> None:
    """Half heads and dripping bodies are closed after ten seconds, and nobody else notices them."""
    tenant = await stack.tenant()

    async def slow(number: int) -> float:
        reader, writer = await connected(stack.url)
        begun = time.monotonic()
        whole = head("/v2/sim-instant", tenant.key, 5_000)
        writer.write(whole[:40] if number % 2 else whole + b"{")
        while True:
            try:
                async with asyncio.timeout(1):
                    await reader.read()
                writer.close()
                return time.monotonic() - begun
            except TimeoutError:
                writer.write(b"x")

    async def healthy(seconds: float) -> float:
        took, until = [], time.monotonic() + seconds
        while time.monotonic() < until:
            watch = Stopwatch()
            assert (await client.post("/v2/sim-instant", json={"a": 1})).status_code == 200
            took.append(watch.own_seconds)
            await asyncio.sleep(0.02)
        return sorted(took)[int(len(took) * 0.99)]

    await healthy(1)
    alone = await healthy(4)
    slows = asyncio.gather(*(slow(number) for number in range(count)))
    beside = await healthy(8)
    ended = await slows
    print(f"p99 {alone * 1e3:.1f} ms alone, {beside * 1e3:.1f} ms beside {count} slow; closed after {max(ended):.1f} s")
    assert min(ended) > 9
    assert max(ended) < 60
    assert beside < max(10 * alone, 1.0)
