"""Operators by name: keys shown once, roles, and the audit row of every write."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from app.admin.models import Role
from app.admin.operations import OperatorExists, create_operator, revoke_operator
from app.admin.queries import OperatorNotFound, get_operator, list_operators
from app.core.database.db import Database
from app.core.errors import Unauthorized
from app.core.ids import new_id, show_id
from app.core.logs.log import scrubbed
from app.tenants.keys import MARK, OPERATOR_MARK, hash_key, parse_key
from tests.admin.test_access import ROUTES
from tests.admin.test_routes import assert_problem
from tests.factories.callers import SECRET

NOWHERE = httpx.Headers({"content-type": "application/json"})


async def made(database: Database, role: Role, secret: bytes = SECRET) -> tuple[str, str]:
    """A new operator's name and key."""
    name = f"op-{uuid4().hex[:12]}"
    async with database.transaction() as session:
        _, key = await create_operator(session, by="tests", name=name, role=role, secret=secret)
    return name, key


def as_operator(app: FastAPI, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://gateway/admin/v1",
        headers={"Authorization": f"Bearer {key}"},
    )


async def entries(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/audit", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_an_operator_is_named_in_the_log(app: FastAPI, database: Database) -> None:
    name, key = await made(database, Role.ADMIN)
    async with as_operator(app, key) as client:
        tenant = (await client.post("/tenants", json={"name": f"t{uuid4().hex}"})).json()
        [entry] = await entries(client, operator=name)
    assert (entry["operator"], entry["action"], entry["target"]) == (name, "tenant.create", tenant["id"])
    assert (entry["tenant"], entry["tenant_id"], entry["detail"]) == (
        tenant["name"], tenant["id"], {"name": tenant["name"]},
    )  # fmt: skip


@pytest.mark.parametrize(("verb", "path"), ROUTES)
async def test_a_viewer_reads_and_changes_nothing(app: FastAPI, database: Database, verb: str, path: str) -> None:
    name, key = await made(database, Role.VIEWER)
    async with as_operator(app, key) as client:
        answer = await client.request(verb, path, content=b"{", headers=NOWHERE)
        if verb == "GET":
            assert answer.status_code in (200, 404)
        else:
            assert_problem(answer, 403, "operator_read_only")
            assert answer.json()["role"] == "admin"
        assert await entries(client, operator=name) == []


async def test_a_revoked_key_opens_nothing(app: FastAPI, database: Database) -> None:
    name, key = await made(database, Role.ADMIN)
    async with as_operator(app, key) as client:
        assert (await client.get("/tenants")).status_code == 200
        async with database.transaction() as session:
            revoked = await revoke_operator(session, by="tests", name_or_id=name)
        assert_problem(await client.get("/tenants"), 401, "unauthorized")
    async with database.transaction() as session:
        again = await revoke_operator(session, by="tests", name_or_id=show_id("opr", revoked.id))
    assert again.revoked_at == revoked.revoked_at is not None
    async with database.snapshot() as session:
        assert revoked in await list_operators(session)
        for nobody in ("nobody", "", "\x00", "\ud800", show_id("opr", new_id())):
            with pytest.raises(OperatorNotFound):
                await get_operator(session, name_or_id=nobody)


async def test_a_name_is_given_once(database: Database) -> None:
    name, _ = await made(database, Role.VIEWER)
    async with database.transaction() as session:
        await revoke_operator(session, by="tests", name_or_id=name)
    with pytest.raises(OperatorExists, match=name):
        async with database.transaction() as session:
            await create_operator(session, by="tests", name=name, role=Role.ADMIN, secret=SECRET)


async def test_only_an_operator_s_key_opens(app: FastAPI, database: Database) -> None:
    _, key = await made(database, Role.ADMIN)
    _, foreign = await made(database, Role.ADMIN, secret=b"x" * 32)
    assert parse_key(key, OPERATOR_MARK) is not None
    assert parse_key(key) is None, "it is no tenant's"
    for wrong in (foreign, key[:-1], key[:-1] + ("a" if key[-1] != "a" else "b"), key.replace(OPERATOR_MARK, MARK)):
        async with as_operator(app, wrong) as client:
            assert_problem(await client.get("/tenants"), 401, "unauthorized")
    with pytest.raises(Unauthorized):
        await app.state.keyring.authenticate(x_api_key=key, authorization=None)
    assert key[17:] not in scrubbed(f"presented {key}")


async def test_a_stolen_table_opens_nothing(database: Database) -> None:
    _, key = await made(database, Role.ADMIN)
    async with database.snapshot() as session:
        dump = "\n".join(await session.fetchval("SELECT array_agg(operators::text) FROM operators"))
        audit = "\n".join(await session.fetchval("SELECT array_agg(audit::text) FROM audit"))
        assert await session.fetchval("SELECT true FROM operators WHERE hash = $1", hash_key(SECRET, key))
    for text in (dump, audit):
        assert key[17:] not in text
    assert key[:16] in dump


async def test_the_log_is_a_list_of_pages_with_filters(app: FastAPI, database: Database) -> None:
    name, key = await made(database, Role.ADMIN)
    async with as_operator(app, key) as client:
        tenants = [(await client.post("/tenants", json={"name": f"t{uuid4().hex}"})).json() for _ in range(3)]
        await client.patch(f"/tenants/{tenants[0]['id']}", json={"suspended": True})
        everything = await entries(client, operator=name)
        assert [entry["action"] for entry in everything] == ["tenant.set", *["tenant.create"] * 3]
        page = (await client.get("/audit", params={"operator": name, "limit": 3})).json()
        rest = (await client.get("/audit", params={"operator": name, "limit": 3, "cursor": page["next_cursor"]})).json()
        assert page["items"] + rest["items"] == everything
        assert rest["next_cursor"] is None
        assert await entries(client, tenant=tenants[0]["name"]) == [everything[0], everything[3]]
        assert await entries(client, target=tenants[1]["id"]) == [everything[2]]
        assert await entries(client, operator=name, action="tenant.set") == [everything[0]]
        assert await entries(client, operator=name, before=everything[3]["at"], since="2020-01-01T00:00:00Z") == []
        for query, path in (
            ({"cursor": "x"}, "query cursor"), ({"since": "today"}, "query since"), ({"limit": 0}, "query limit"),
            ({"who": "x"}, "query who"), ({"operator": "\x00"}, "query operator"),
        ):  # fmt: skip
            assert_problem(await client.get("/audit", params=query), 400, "invalid_request", path)
        assert_problem(await client.get("/audit", params={"tenant": "nobody"}), 404, "tenant_not_found")


async def test_a_write_that_fails_leaves_no_row(app: FastAPI, database: Database) -> None:
    name, key = await made(database, Role.ADMIN)
    async with as_operator(app, key) as client:
        assert (await client.post("/tenants", json={"name": "a b"})).status_code == 400
        assert (await client.patch("/tenants/nobody", json={"suspended": True})).status_code == 404
        assert (await client.post("/pause", json={"tenant": "nobody"})).status_code == 404
        assert (await client.post("/jobs/x/resolve", json={"release": True})).status_code == 404
        assert await entries(client, operator=name) == []


async def test_every_write_is_written_down(app: FastAPI, database: Database) -> None:
    name, admin = await made(database, Role.ADMIN)
    async with as_operator(app, admin) as client:
        tenant = (await client.post("/tenants", json={"name": f"t{uuid4().hex}"})).json()
        path = f"/tenants/{tenant['id']}"
        await client.patch(path, json={"max_price": "0.5", "models": ["a"], "overdraft": "1", "daily_credits": None})
        issued = (await client.post(f"{path}/keys", json={"name": "ci", "scopes": ["jobs:read"]})).json()
        await client.patch(f"/keys/{issued['id']}", json={"monthly_credits": "7"})
        await client.delete(f"/keys/{issued['id']}")
        await client.post(f"{path}/credits", json={"amount": "5", "reference": "r-1"})
        await client.post(f"{path}/adjustments", json={"amount": "-2", "note": "a slip"})
        await client.put("/models/audited", json={"price": "0.2", "markup": 1.5})
        await client.post("/pause", json={"tenant": tenant["name"], "note": "n"})
        await client.post("/resume", json={"tenant": tenant["name"]})
        told = [(entry["action"], entry["target"], entry["detail"]) for entry in await entries(client, operator=name)]
    assert told[::-1] == [
        ("tenant.create", tenant["id"], {"name": tenant["name"]}),
        (
            "tenant.set",
            tenant["id"],
            {"max_price": "0.500000", "models": ["a"], "overdraft": "1.000000", "daily_credits": None},
        ),
        ("key.create", issued["id"], {"name": "ci", "scopes": ["jobs:read"], "expires_at": None}),
        ("key.set", issued["id"], {"monthly_credits": "7.000000"}),
        ("key.revoke", issued["id"], {}),
        (
            "credits.grant",
            tenant["id"],
            {"amount": "5.000000", "reference": "r-1", "note": None, "expires_at": None, "new": True},
        ),
        ("credits.adjust", tenant["id"], {"amount": "-2.000000", "note": "a slip"}),
        ("model.set", "audited", {"price": "0.200000", "markup": "1.500000"}),
        ("pause.set", "", {"tenant": tenant["name"], "model": None, "what": "submits", "note": "n"}),
        ("pause.lift", "", {"tenant": tenant["name"], "model": None, "was_paused": True}),
    ]
    async with database.snapshot() as session:
        dump = "\n".join(await session.fetchval("SELECT array_agg(audit::text) FROM audit"))
    assert issued["key"][17:] not in dump
    assert admin[17:] not in dump
