"""Weights and limits, of tenants and of keys: as operators set them, what is refused, and what is counted from then on."""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.admin.actions.demo import LIMITS as OF_DEMO
from app.admin.actions.demo import ensure_demo_tenant
from app.admin.actions.tenancy import change_key, change_tenant
from app.admin.decide import parse_settings
from app.core.database.db import Database
from app.core.errors import Malformed
from app.core.ids import find_id
from app.tenants.decide import LIMITS, Rate
from app.tenants.keys import hash_key
from app.tenants.queries import list_known_keys
from tests.admin.test_commands import actions, settings
from tests.admin.test_routes import assert_problem, fresh, made
from tests.conftest import NewDatabase
from tests.factories.callers import SECRET, make_caller
from tests.factories.jobs import Engine
from tests.test_cli import shown

__all__ = ["settings"]

DEFAULTS = {
    "weight": 1, "rate_per_minute": 600, "burst": 100, "refused_per_minute": 6_000, "max_in_flight": 200,
    "max_queued": 10_000,
}  # fmt: skip
OTHERS = {
    "weight": 2.5, "rate_per_minute": 1_200, "burst": 7, "refused_per_minute": 50, "max_in_flight": 0, "max_queued": 0,
}  # fmt: skip
HOSTILE = [None, True, "5", 1.5, -1, 10**9, 10**30, [5], {"a": 1}]
"""What no limit may be."""


def limits_of(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: shown[name] for name in DEFAULTS}


async def queue_of(database: Database, subject_id: UUID) -> dict[str, Any] | None:
    async with database.snapshot() as session:
        row = await session.fetchrow("SELECT * FROM queues WHERE subject_id = $1", subject_id)
        return None if row is None else dict(row)


async def test_a_tenants_limits(operator: httpx.AsyncClient, database: Database) -> None:
    tenant = await made(operator, fresh())
    assert limits_of(tenant) == DEFAULTS
    assert isinstance(tenant["weight"], int), "a plain number"
    path = f"/tenants/{tenant['id']}"
    changed = (await operator.patch(path, json=OTHERS)).json()
    assert limits_of(changed) == OTHERS
    assert (await operator.get(path)).json() == changed
    assert changed in (await operator.get("/tenants", params={"limit": 200})).json()["items"]
    tenant_id = find_id("ten", tenant["id"])
    assert tenant_id is not None
    queue = await queue_of(database, tenant_id)
    assert queue is not None
    assert (queue["weight"], queue["max_in_flight"], queue["max_queued"]) == (2.5, 0, 0)
    assert limits_of((await operator.patch(path, json={"burst": 8})).json()) == {**OTHERS, "burst": 8}
    assert limits_of((await operator.patch(path, json={})).json()) == {**OTHERS, "burst": 8}
    async with database.snapshot() as session:
        told = await session.fetch("SELECT detail FROM audit WHERE target = $1 ORDER BY id", tenant["id"])
    assert [row["detail"] for row in told][1:] == [OTHERS, {"burst": 8}, {}]


async def test_a_tenant_may_be_made_with_them(operator: httpx.AsyncClient) -> None:
    answer = await operator.post("/tenants", json={"name": fresh(), "weight": 4, "max_queued": 3, "max_price": "0.5"})
    assert answer.status_code == 201
    assert limits_of(answer.json()) == {**DEFAULTS, "weight": 4, "max_queued": 3}
    assert answer.json()["max_price"] == "0.500000"
    name = fresh()
    wrong = await operator.post("/tenants", json={"name": name, "burst": 0})
    assert_problem(wrong, 400, "invalid_request", "$.burst")
    assert (await operator.get(f"/tenants/{name}")).status_code == 404


@pytest.mark.parametrize("field", LIMITS)
async def test_limits_that_cannot_be(operator: httpx.AsyncClient, field: str) -> None:
    tenant = await made(operator, fresh())
    key = (await operator.post(f"/tenants/{tenant['id']}/keys", json={})).json()
    least, most = LIMITS[field]
    expected = f"expected a whole number from {least} to {most}"
    for path in (f"/tenants/{tenant['id']}", f"/keys/{key['id']}"):
        for value in (*HOSTILE, least - 1, most + 1):
            if value is None and path.startswith("/keys"):
                continue
            problem = assert_problem(
                await operator.patch(path, json={field: value}), 400, "invalid_request", f"$.{field}"
            )
            assert problem["errors"][0]["message"] == expected, value
        for body in (f'{{"{field}":NaN}}', f'{{"{field}":1e400}}', f'{{"{field}":-Infinity}}'):
            answer = await operator.patch(path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 400, body
        for value in (least, most):
            assert (await operator.patch(path, json={field: value})).json()[field] == value


async def test_refused_submits_have_a_limit_of_their_own(operator: httpx.AsyncClient) -> None:
    tenant = await made(operator, fresh())
    path, field = f"/tenants/{tenant['id']}", "refused_per_minute"
    assert tenant[field] == 6_000
    assert (await operator.patch(path, json={"rate_per_minute": 30})).json()[field] == 300, "ten times the rate"
    for value in (1, 10_000_000):
        assert (await operator.patch(path, json={field: value})).json()[field] == value
    for wrong in (*HOSTILE[1:], 0):
        answer = await operator.patch(path, json={field: wrong})
        assert_problem(answer, 400, "invalid_request", f"$.{field}")
        assert answer.json()["errors"][0]["message"] == "expected a whole number from 1 to 10000000"
    assert (await operator.patch(path, json={field: None})).json()[field] == 300
    assert (await operator.patch(path, json={"rate_per_minute": 10_000_000})).json()[field] == 10_000_000
    key = (await operator.post(f"{path}/keys", json={})).json()
    assert_problem(await operator.patch(f"/keys/{key['id']}", json={field: 5}), 400, "invalid_request", f"$.{field}")


def test_as_key_value() -> None:
    assert parse_settings(["refused_per_minute=70"]) == {"refused_per_minute": 70}
    assert parse_settings(["refused_per_minute=null"]) == {"refused_per_minute": None}
    with pytest.raises(Malformed, match="refused_per_minute: expected a whole number from 1 to 10000000"):
        parse_settings(["refused_per_minute=0"])


@pytest.mark.parametrize("value", [*HOSTILE[:3], 0, 0.0009, 1000.1, -1, 10**400, "NaN"])
async def test_weights_that_cannot_be(operator: httpx.AsyncClient, value: object) -> None:
    tenant = await made(operator, fresh())
    answer = await operator.patch(
        f"/tenants/{tenant['id']}", content=json.dumps({"weight": value}), headers={"content-type": "application/json"}
    )
    assert_problem(answer, 400, "invalid_request", "$.weight")
    for good in (0.001, 1000, 3):
        assert (await operator.patch(f"/tenants/{tenant['id']}", json={"weight": good})).json()["weight"] == good


async def test_a_keys_own_limits(operator: httpx.AsyncClient, database: Database) -> None:
    tenant = await made(operator, fresh())
    key = (await operator.post(f"/tenants/{tenant['id']}/keys", json={})).json()
    assert {name: key[name] for name in LIMITS} == dict.fromkeys(LIMITS)
    for body, rate in (
        ({"rate_per_minute": 60}, Rate(60, 100)),
        ({"rate_per_minute": None, "burst": 5}, Rate(600, 5)),
        ({"rate_per_minute": 6_000, "max_in_flight": 1}, Rate(6_000, 5)),
        ({"rate_per_minute": None, "burst": None}, None),
    ):
        changed = (await operator.patch(f"/keys/{key['id']}", json=body)).json()
        assert {name: changed[name] for name in body} == body
        async with database.snapshot() as session:
            [known] = await list_known_keys(session, hashes=[hash_key(SECRET, key["key"])])
        assert (known.rate, known.key_rate) == (Rate(600, 100), rate)
    assert (await operator.get(f"/tenants/{tenant['id']}/keys")).json()["items"] == [changed]


async def test_a_keys_places_are_counted_from_the_first_time_on(database: Database) -> None:
    engine, caller = Engine(database), await make_caller(database)
    await engine.submit(caller, 5)
    [one, *_] = await engine.claim(2)
    await engine.open([one])
    key_id, tenant_id = caller.key.id, caller.tenant.id
    async with database.transaction() as session:
        await change_key(session, by="test", key_id=key_id, settings={"rate_per_minute": 5})
    assert await queue_of(database, key_id) is None
    async with database.transaction() as session:
        await change_key(session, by="test", key_id=key_id, settings={"max_queued": 50})
    counts = ("tenant_id", "queued", "ready", "claimed", "in_flight")
    opened, whole = await queue_of(database, key_id), await queue_of(database, tenant_id)
    assert opened is not None
    assert whole is not None
    assert {name: opened[name] for name in counts} == {name: whole[name] for name in counts}
    assert (opened["claimed"], opened["in_flight"], opened["queued"]) == (1, 1, 4)
    assert (opened["max_queued"], opened["max_in_flight"], opened["runnable"]) == (50, None, False)
    async with database.transaction() as session:
        await change_key(session, by="test", key_id=key_id, settings={"max_queued": None, "max_in_flight": None})
    await engine.submit(caller, 2)
    still = await queue_of(database, key_id)
    assert still is not None
    assert (still["queued"], still["max_queued"]) == (6, None)
    async with database.transaction() as session:
        await change_key(session, by="test", key_id=key_id, settings={"max_in_flight": 3})
    again = await queue_of(database, key_id)
    assert again == {**still, "max_in_flight": 3}


@pytest.mark.timeout(60)
async def test_counts_are_exact_though_submits_go_on_meanwhile(database: Database) -> None:
    engine, callers = Engine(database), [await make_caller(database) for _ in range(4)]

    async def submits(number: int) -> None:
        for _ in range(25):
            await engine.submit(callers[number % 4], 1)

    async def sets(number: int) -> None:
        await asyncio.sleep(0.02 * number)
        key_id = callers[number].key.id
        async with database.transaction() as session:
            await change_key(session, by="test", key_id=key_id, settings={"max_queued": 1_000})
        async with database.transaction() as session:
            tenant = callers[number].tenant.name
            await change_tenant(
                session, by="test", tenant=tenant, settings={"overdraft": 5, "max_queued": 900, "name": fresh()}
            )

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(submits(number))
        for number in range(4):
            group.create_task(sets(number))
    for caller in callers:
        own, whole = await queue_of(database, caller.key.id), await queue_of(database, caller.tenant.id)
        assert own is not None
        assert whole is not None
        assert (own["queued"], own["ready"], whole["max_queued"]) == (50, whole["ready"], 900)


async def test_at_the_command_line(operator: httpx.AsyncClient, database: Database, settings: dict[str, str]) -> None:
    name = f"t{uuid4().hex}"
    tenant = await asyncio.to_thread(shown, "tenant", "create", name, "weight=2", "burst=9", **settings)
    assert limits_of(tenant) == {**DEFAULTS, "weight": 2, "burst": 9}
    assigned = (f"{field}={value}" for field, value in OTHERS.items())
    assert limits_of(await asyncio.to_thread(shown, "tenant", "set", name, *assigned, **settings)) == OTHERS
    key = await asyncio.to_thread(shown, "key", "create", name, **settings)
    own = await asyncio.to_thread(
        shown, "key", "set", key["id"], "burst=3", "max_queued=4", "daily_credits=5", "name=mine", **settings
    )
    assert (own["burst"], own["max_queued"], own["daily_credits"], own["name"]) == (3, 4, "5.000000", "mine")
    assert (await operator.get(f"/tenants/{name}/keys")).json()["items"] == [own]
    assert [action for _, action in await actions(database, key["id"])] == ["key.create", "key.set"]


async def test_the_tenant_of_up_is_not_limited_unless_an_operator_says_so(new_database: NewDatabase) -> None:
    url = await new_database()
    database = await Database.open(url, name="test", writers_max=1, readers_max=1)
    secret = SECRET.decode()

    async def limits() -> dict[str, int]:
        async with database.snapshot() as session:
            row = await session.fetchrow(f"SELECT {', '.join(LIMITS)} FROM tenants WHERE name = 'demo'")
            assert row is not None
            return dict(row)

    try:
        _, key = await ensure_demo_tenant(url, secret, None)
        assert await limits() == OF_DEMO
        async with database.transaction() as session:  # as it was before there were limits
            await change_tenant(session, by="test", tenant="demo", settings={**DEFAULTS})  # type: ignore[typeddict-item]
        await ensure_demo_tenant(url, secret, key)
        assert await limits() == OF_DEMO
        async with database.transaction() as session:
            await change_tenant(session, by="test", tenant="demo", settings={"burst": 5})
        await ensure_demo_tenant(url, secret, key)
        assert await limits() == {**OF_DEMO, "burst": 5}
    finally:
        await database.close()
