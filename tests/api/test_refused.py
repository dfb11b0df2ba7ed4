"""The limit on refused submits: by tenant on both surfaces and over all processes, and by address without a good key."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.admin.actions.tenancy import change_tenant
from app.limits.rates import RateLimiter
from app.limits.strangers import SUBMITS
from app.tenants.keys import issue_key
from app.tenants.models import Scope
from tests.gateway import Gateway, TenantKey, eventually

JSON = {"content-type": "application/json"}
NATIVE = "/api/v1/jobs"
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("/v2/sim-instant", {"content": b"{", "headers": JSON}),
    ("/v1/sim-instant", {"content": b"[]", "headers": JSON}),
    ("/v1/sim-instant", {"json": {}, "headers": {"x-priority": "soon"}}),
    ("/v2/a/b", {"json": {}}),
    (NATIVE, {"json": {"model": "sim-instant"}}),
    (NATIVE, {"content": b"{}", "headers": {"content-type": "text/plain"}}),
    (NATIVE, {"json": {"model": "sim-instant", "input": {}, "max_price": "0.000001"}}),
]
"""Submits that are refused, each for a reason of its own."""


def client_of(stack: Gateway, tenant: TenantKey, number: int = 0) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=stack.urls[number], headers=tenant.headers, timeout=60)


@contextlib.asynccontextmanager
async def strangers(url: str, address: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that connects from an address of its own of the loopback network."""
    transport = httpx.AsyncHTTPTransport(local_address=address, limits=httpx.Limits(max_connections=20))
    async with httpx.AsyncClient(transport=transport, base_url=url, headers=headers, timeout=60) as client:
        yield client


async def counted(stack: Gateway, tenant: TenantKey) -> Counter[str]:
    rows = await stack.sql("SELECT code, sum(count)::int AS n FROM refusals WHERE tenant_id = $1 GROUP BY 1", tenant.id)
    return Counter({row["code"]: row["n"] for row in rows})


async def exhausted(stack: Gateway, address: str) -> None:
    """As if requests without a good key had come from there, twice as many as are allowed."""
    limiter = RateLimiter(stack.redis_url)
    limiter.charge_afterwards(SUBMITS.bucket(address), 2 * SUBMITS.rate.burst)
    await limiter.close()


def assert_too_many(answer: httpx.Response, *, of: str = "refused", per_minute: int) -> None:
    assert answer.status_code == 429, answer.text
    body = answer.json()
    assert (body["code"], body["of"], body["refused_per_minute"]) == ("too_many_refused", of, per_minute)
    seconds = int(answer.headers["retry-after"])
    assert 1 <= seconds <= 121
    assert answer.headers["ratelimit-policy"] == f'"{of}";q={per_minute};w=60'
    assert answer.headers["ratelimit"].startswith(f'"{of}";r=0;t=')


async def test_refused_submits_are_limited_over_surfaces_and_processes(stack: Gateway) -> None:
    tenant = await stack.tenant(refused_per_minute=20)
    answers: list[httpx.Response] = []
    began_at = time.monotonic()
    async with client_of(stack, tenant) as one, client_of(stack, tenant, 1) as other:
        for number in range(42):
            path, request = REFUSED[number % len(REFUSED)]
            answers.append(await (one, other)[number % 2].post(path, **request))
        limited = [answer for answer in answers if answer.status_code == 429]
        assert all(answer.status_code in (400, 402, 404, 415, 429) for answer in answers)
        drained = (time.monotonic() - began_at) / 3
        assert 20 <= len(answers) - len(limited) <= 24 + drained, "each process hears of the other's with its own next"
        for answer in limited:
            assert_too_many(answer, per_minute=20)
    found = await counted(stack, tenant)
    assert found.total() == len(answers), "every refused submit is counted"
    assert found["too_many_refused"] == len(limited)


async def test_who_is_over_the_limit_is_refused_everything_but_reads(stack: Gateway) -> None:
    tenant = await stack.tenant(refused_per_minute=1)  # the next one after a minute, which is longer than this takes
    over = 0
    async with client_of(stack, tenant) as one, client_of(stack, tenant, 1) as other:
        for client in (one, other):
            while (answer := await client.post("/v2/a/b", json={})).status_code != 429:
                assert answer.status_code == 404
            assert_too_many(answer, per_minute=1)
            assert_too_many(await client.post("/v2/sim-instant", json={}), per_minute=1)
            assert_too_many(await client.post(f"{NATIVE}/quote", json={}), per_minute=1)
            assert (await client.get("/v1/get-user-credits")).status_code == 200, "reads go on"
            over += 2  # quotes are not recorded
    assert (await counted(stack, tenant))["too_many_refused"] == over


async def test_accepted_submits_do_not_count(stack: Gateway) -> None:
    tenant = await stack.tenant(refused_per_minute=3)
    async with client_of(stack, tenant) as client:
        for _ in range(10):
            assert (await client.post("/v2/sim-instant", json={})).status_code == 200
        replayed = {"idempotency-key": "once"}
        for _ in range(5):
            assert (await client.post("/v2/sim-instant", json={}, headers=replayed)).status_code == 200
        told = (await client.get("/api/v1/limits")).json()["refused"]
        assert told == {"per_minute": 3, "burst": 3, "remaining": 3, "reset_seconds": 0}
        assert (await client.post("/v2/a/b", json={})).status_code == 404
        told = (await client.get("/api/v1/limits")).json()["refused"]
        assert (told["per_minute"], told["remaining"]) == (3, 2)


async def test_refused_quotes_count(stack: Gateway) -> None:
    tenant = await stack.tenant(refused_per_minute=4)
    async with client_of(stack, tenant) as client:
        for _ in range(6):
            assert (await client.post(f"{NATIVE}/quote", json={"model": "sim-instant", "input": {}})).status_code == 200
        codes = [(await client.post(f"{NATIVE}/quote", json={"model": 1})).status_code for _ in range(6)]
    assert codes == [400] * 4 + [429] * 2
    assert not await counted(stack, tenant), "a quote is no submit"


async def test_the_default_is_ten_times_the_rate(stack: Gateway) -> None:
    tenant = await stack.tenant(rate_per_minute=2, burst=2)
    async with client_of(stack, tenant) as client:
        assert (await client.get("/api/v1/limits")).json()["refused"]["per_minute"] == 20
        codes = [(await client.post("/v2/a/b", json={})).status_code for _ in range(23)]
        assert codes == [404] * 20 + [429] * 3
        async with stack.database.transaction() as session:
            await change_tenant(session, by="test", tenant=tenant.name, settings={"refused_per_minute": 1_000})

        async def goes_on() -> bool:
            return (await client.post("/v2/a/b", json={})).status_code == 404

        await eventually(goes_on)


async def test_it_is_refused_before_its_body_is_read(stack: Gateway) -> None:
    tenant = await stack.tenant(refused_per_minute=1)
    async with client_of(stack, tenant) as client:
        assert (await client.post("/v2/a/b", json={})).status_code == 404
    for path in ("/v2/sim-instant", "/v1/sim-instant", NATIVE, f"{NATIVE}/quote"):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(stack.url.rpartition(":")[2]))
        try:
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {tenant.key}\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: 5000000\r\n\r\n".encode())
            line = await asyncio.wait_for(reader.readline(), 30)
            assert line.startswith(b"HTTP/1.1 429 "), line
        finally:
            writer.close()


async def test_a_scope_that_is_missing_counts(stack: Gateway) -> None:
    tenant = await stack.tenant(scopes=[Scope.JOBS_READ], refused_per_minute=2)
    async with client_of(stack, tenant) as client:
        codes = [(await client.post("/v2/sim-instant", json={})).status_code for _ in range(4)]
    assert codes == [403, 403, 429, 429]


async def test_invented_models_share_a_row(stack: Gateway) -> None:
    tenant = await stack.tenant()
    async with stack.api(UNPRICED_MODELS="refuse") as url, client_of(stack, tenant) as client:
        for begin in range(0, 600, 50):
            numbers = range(begin, begin + 50)
            answers = await asyncio.gather(*(client.post(f"{url}/v2/invented-{one}", json={}) for one in numbers))
            assert {answer.status_code for answer in answers} == {404}
        assert (await client.post(f"{url}/v2/motionctrl-svd", json={})).status_code == 400
    rows = await stack.sql("SELECT model, code, count FROM ops.requests WHERE tenant_id = $1", tenant.id)
    assert sum(row["count"] for row in rows) == 601
    assert len(rows) <= 4, "two reasons, and a minute may have turned meanwhile"
    assert {row["model"] for row in rows} == {None, "motionctrl-svd"}


async def test_one_address_is_limited_without_a_good_key_and_nobody_else(stack: Gateway) -> None:
    address = "127.0.7.1"
    keys = ({}, {"x-api-key": "junk"}, {"x-api-key": issue_key().text})
    tenant = await stack.tenant()
    count_sql = "SELECT coalesce(sum(count), 0)::int AS n, count(*) AS rows FROM refusals WHERE tenant_id IS NULL"
    before = (await stack.sql(count_sql))[0]
    async with strangers(stack.url, address) as stranger:

        async def one(number: int) -> httpx.Response:
            path, forged = (NATIVE, "/v2/x")[number % 2], {"x-forwarded-for": f"198.51.100.{number % 200}"}
            return await stranger.post(path, json={}, headers={**keys[number % 3], **forged})

        began_at = time.monotonic()
        answers: list[httpx.Response] = []
        codes: Counter[int] = Counter()
        while codes[429] < 50:
            answers += await asyncio.gather(*map(one, range(len(answers), len(answers) + 50)))
            codes = Counter(answer.status_code for answer in answers)
            assert set(codes) <= {401, 429}
            assert len(answers) < 5_000
        freed = 10 * (time.monotonic() - began_at)
        assert 600 <= codes[401] <= 600 + freed + 1, "ten of them a second are free again"
        limited = next(answer for answer in answers if answer.status_code == 429)
        assert_too_many(limited, of="address", per_minute=SUBMITS.rate.per_minute)
        good = await stranger.post("/v2/sim-instant", json={}, headers=tenant.headers)
        assert good.status_code == 200, "a good key from there is as good as ever"
        read = await stranger.get(f"/v2/requests/job_{'0' * 32}/status")
        assert read.status_code == 401, "a read is never answered 429"
    async with strangers(stack.url, "127.0.7.2") as another:
        assert (await another.post("/v2/x", json={})).status_code == 401
    after = (await stack.sql(count_sql))[0]
    assert after["n"] - before["n"] >= len(answers) + 1, "every one is counted"
    assert after["rows"] - before["rows"] <= 4 * 4, "surfaces and codes, and minutes that turned"


async def test_behind_a_proxy_of_ours_the_address_is_the_clients(stack: Gateway) -> None:
    proxy = "127.0.7.3"
    async with stack.api(TRUSTED_PROXIES=f"{proxy}/32,10.0.0.0/8") as url, strangers(url, proxy) as forwarded:

        async def one(source: str) -> int:
            return (await forwarded.post("/v2/x", json={}, headers={"x-forwarded-for": source})).status_code

        await exhausted(stack, "192.0.2.71")

        async def limited() -> bool:
            return await one("203.0.113.5, 192.0.2.71, 10.1.1.1") == 429

        await eventually(limited)
        assert await one("203.0.113.5, 192.0.2.72, 10.1.1.1") == 401


@pytest.mark.parametrize(("name", "value"), [("TRUSTED_PROXIES", "everybody"), ("ADMIN_KEY", "a")])
async def test_a_wrong_setting_stops_the_process_with_its_name(stack: Gateway, name: str, value: str) -> None:
    with pytest.raises(AssertionError, match=f"WAYSTATION_{name}: expected"):
        async with stack.api(**{name: value}):
            pass
