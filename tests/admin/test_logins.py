"""Keys that are no operator's: logged without the key, limited by address, and in nobody else's way."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from app.admin.models import Role
from app.admin.operations import create_operator
from app.core.database.db import Database
from app.limits.strangers import LOGINS, Strangers
from app.tenants.keys import OPERATOR_MARK, issue_key
from tests.admin.conftest import ADMIN_KEY
from tests.factories.callers import SECRET
from tests.gateway import eventually

MOST = LOGINS.rate.burst


def client_from(app: FastAPI, address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://gateway/admin/v1"
    )


async def tries(client: httpx.AsyncClient, key: str) -> httpx.Response:
    return await client.get("/tenants", headers={"authorization": f"Bearer {key}"})


@pytest.fixture
async def app(app: FastAPI, redis_url: str) -> AsyncIterator[FastAPI]:
    """With limits in a real Redis."""
    app.state.strangers = Strangers(redis_url, trusted=())
    yield app
    await app.state.strangers.close()


@pytest.fixture
def address() -> str:
    """Of a network that no other test comes from."""
    return f"2001:db8:{uuid4().int % 65536:x}:{uuid4().int % 65535 + 1:x}::1"


async def test_a_handful_a_minute_and_then_429(app: FastAPI, address: str) -> None:
    with capture_logs() as logs:
        async with client_from(app, address) as client:
            answers = [await tries(client, f"guess-{number}" * 5) for number in range(MOST + 10)]
    assert [answer.status_code for answer in answers] == [401] * MOST + [429] * 10
    last = answers[-1]
    assert last.json()["code"] == "too_many_logins"
    assert 1 <= int(last.headers["retry-after"]) <= 60 / LOGINS.rate.per_minute
    assert last.headers["content-type"] == "application/problem+json"
    told = [entry for entry in logs if entry["event"] == "operator.login_refused"]
    assert len(told) == MOST
    assert {entry["log_level"] for entry in told} == {"warning"}
    assert {entry["address"] for entry in told} == {address.replace("::1", "::/64")}
    assert "guess" not in str(logs)


async def test_a_good_key_opens_all_the_same(app: FastAPI, database: Database, address: str) -> None:
    async with database.transaction() as session:
        _, key = await create_operator(session, by="tests", name=f"op-{uuid4().hex}", role=Role.VIEWER, secret=SECRET)
    async with client_from(app, address) as client:
        while (await tries(client, issue_key(OPERATOR_MARK).text)).status_code == 401:
            pass
        assert (await tries(client, ADMIN_KEY)).status_code == 200
        assert (await tries(client, key)).status_code == 200
        assert (await tries(client, ADMIN_KEY + "x")).status_code == 429
        assert (await client.get("/tenants")).status_code == 401, "no key at all is no guess"
    async with client_from(app, address.replace("::1", "::2")) as neighbour:
        assert (await tries(neighbour, "x")).status_code == 429, "of the same /64"
    async with client_from(app, "192.0.2.7") as other:
        assert (await tries(other, "x")).status_code == 401


async def test_it_is_counted_over_all_processes(app: FastAPI, redis_url: str, address: str) -> None:
    async with client_from(app, address) as client:
        while (await tries(client, "x")).status_code == 401:
            pass
    await app.state.strangers.close()
    app.state.strangers = Strangers(redis_url, trusted=())
    async with client_from(app, address) as client:
        codes = []

        async def limited() -> bool:
            codes.append((await tries(client, "x")).status_code)
            return codes[-1] == 429

        await eventually(limited, gap_seconds=0.1)
    assert len(codes) < MOST, "another process hears of it with its first one"


async def test_without_redis_each_process_counts_by_itself(app: FastAPI, address: str) -> None:
    app.state.strangers = Strangers("redis://127.0.0.1:1", trusted=())
    async with client_from(app, address) as client:
        codes = [(await tries(client, "x")).status_code for _ in range(MOST + 5)]
    assert codes.count(401) == MOST
