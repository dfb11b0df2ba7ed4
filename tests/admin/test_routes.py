"""`/admin/v1`: what an operator gets, and how a slip of theirs is told."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from app.core.ids import new_id, show_id
from app.tenants.keys import parse_key
from app.tenants.models import ALL_SCOPES

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def fresh() -> str:
    return f"t{uuid4().hex}"


async def made(operator: httpx.AsyncClient, name: str) -> dict[str, Any]:
    answer = await operator.post("/tenants", json={"name": name})
    assert answer.status_code == 201, answer.text
    tenant: dict[str, Any] = answer.json()
    return tenant


def assert_problem(answer: httpx.Response, status: int, code: str, *paths: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"]
    assert [error["path"] for error in problem["errors"]] == list(paths)
    return problem


async def test_a_tenant_is_made_read_changed(operator: httpx.AsyncClient) -> None:
    name = fresh()
    tenant = await made(operator, name)
    assert tenant["name"] == name
    assert tenant["id"].startswith("ten_")
    assert INSTANT.fullmatch(tenant["created_at"])
    assert (tenant["suspended"], tenant["suspended_at"]) == (False, None)
    for path in (name, tenant["id"]):
        assert (await operator.get(f"/tenants/{path}")).json() == tenant

    changed = (await operator.patch(f"/tenants/{name}", json={"suspended": True})).json()
    assert changed["suspended"]
    assert INSTANT.fullmatch(changed["suspended_at"])
    other = fresh()
    answer = await operator.patch(f"/tenants/{tenant['id']}", json={"name": other, "suspended": False})
    assert answer.json() == {**tenant, "name": other}
    assert (await operator.patch(f"/tenants/{other}", json={})).json() == answer.json()
    assert_problem(await operator.get(f"/tenants/{name}"), 404, "tenant_not_found")


async def test_tenants_that_cannot_be(operator: httpx.AsyncClient) -> None:
    name, other = fresh(), fresh()
    await made(operator, name)
    await made(operator, other)
    assert_problem(await operator.post("/tenants", json={"name": name}), 409, "tenant_exists")
    assert_problem(await operator.patch(f"/tenants/{other}", json={"name": name}), 409, "tenant_exists")
    for wrong in ("a b", "", "x" * 64, "nul\x00", show_id("ten", new_id())):
        assert_problem(await operator.post("/tenants", json={"name": wrong}), 400, "invalid_request", "$.name")
        assert_problem(
            await operator.patch(f"/tenants/{other}", json={"name": wrong}), 400, "invalid_request", "$.name"
        )


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"name":"ok","colour":"blue"}', "$.colour"),
        (b'{"name":"ok","weight":"3"}', "$.weight"),
        (b"{}", "$.name"),
        (b'{"name":null}', "$.name"),
        (b'{"name":7}', "$.name"),
        (b'{"name":"\\ud800"}', "$.name"),
        (b'{"name":"ok","\\ud800":1}', "$"),
    ],
)
async def test_a_wrong_body_names_the_field_and_not_the_value(
    operator: httpx.AsyncClient, body: bytes, path: str
) -> None:
    answer = await operator.post("/tenants", content=body, headers={"content-type": "application/json"})
    problem = assert_problem(answer, 400, "invalid_request", path)
    assert "blue" not in answer.text
    assert path.removeprefix("$.") in problem["detail"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[]", "must be a JSON object"),
        (b"7", "must be a JSON object"),
        (b'{"name":', "not JSON: Expecting value at line 1, column 9"),
        (b'{"name":"a","name":"b"}', "duplicate member 'name'"),
    ],
)
async def test_a_body_that_is_no_json_object_is_told_so(
    operator: httpx.AsyncClient, body: bytes, expected: str
) -> None:
    answer = await operator.post("/tenants", content=body, headers={"content-type": "application/json"})
    assert expected in assert_problem(answer, 400, "invalid_json")["detail"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"suspended": "yes"}, "$.suspended"),
        ({"suspended": None}, "$.suspended"),
        ({"name": None}, "$.name"),
        ({"max_jobs": 5}, "$.max_jobs"),
    ],
)
async def test_a_wrong_patch_changes_nothing(operator: httpx.AsyncClient, body: dict[str, object], path: str) -> None:
    tenant = await made(operator, fresh())
    assert_problem(await operator.patch(f"/tenants/{tenant['id']}", json=body), 400, "invalid_request", path)
    assert (await operator.get(f"/tenants/{tenant['id']}")).json() == tenant


async def test_keys_are_shown_once(operator: httpx.AsyncClient) -> None:
    tenant = await made(operator, fresh())
    keys = f"/tenants/{tenant['name']}/keys"
    answer = await operator.post(keys, json={})
    assert answer.status_code == 201
    issued = answer.json()
    text = issued.pop("key")
    assert parse_key(text) is not None
    assert issued["id"].startswith("key_")
    assert issued["prefix"] == text[:16]
    assert (issued["tenant_id"], issued["tenant"]) == (tenant["id"], tenant["name"])
    assert issued["scopes"] == list(ALL_SCOPES)
    assert issued["expires_at"] is None
    assert (await operator.get(keys)).json() == {"items": [issued], "next_cursor": None}

    assert (await operator.delete(f"/keys/{issued['id']}")).status_code == 204
    assert (await operator.delete(f"/keys/{issued['id']}")).status_code == 204
    [revoked] = (await operator.get(keys)).json()["items"]
    assert INSTANT.fullmatch(revoked["revoked_at"])
    for nothing in ("key_1", show_id("key", new_id()), tenant["id"]):
        assert_problem(await operator.delete(f"/keys/{nothing}"), 404, "key_not_found")


async def test_a_key_with_everything_said(operator: httpx.AsyncClient) -> None:
    tenant = await made(operator, fresh())
    expires_at = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    answer = await operator.post(
        f"/tenants/{tenant['id']}/keys",
        json={"name": "CI, déjà vu", "scopes": ["jobs:read", "jobs:read"], "expires_at": expires_at.isoformat()},
    )
    assert answer.status_code == 201, answer.text
    issued = answer.json()
    assert (issued["name"], issued["scopes"]) == ("CI, déjà vu", ["jobs:read"])
    assert issued["expires_at"] == expires_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"scopes": []}, "$.scopes"),
        ({"scopes": ["jobs:read", "jobs:all"]}, "$.scopes[1]"),
        ({"scopes": "jobs:read"}, "$.scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "$.expires_at"),
        ({"expires_at": "tomorrow"}, "$.expires_at"),
        ({"expires_at": 4_000_000_000}, "$.expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "$.expires_at"),
        ({"name": "nul\x00"}, "$.name"),
        ({"name": "\ud800"}, "$.name"),
        ({"tenant": "other"}, "$.tenant"),
    ],
)
async def test_keys_that_cannot_be(operator: httpx.AsyncClient, body: dict[str, object], path: str) -> None:
    tenant = await made(operator, fresh())
    keys = f"/tenants/{tenant['id']}/keys"
    answer = await operator.post(keys, content=json.dumps(body), headers={"content-type": "application/json"})
    assert_problem(answer, 400, "invalid_request", path)
    assert (await operator.get(keys)).json()["items"] == []


async def test_nobody_s_keys(operator: httpx.AsyncClient) -> None:
    for nobody in ("nobody", "%00", "%ED%A0%80", show_id("ten", new_id())):
        assert_problem(await operator.post(f"/tenants/{nobody}/keys", json={}), 404, "tenant_not_found")
        assert_problem(await operator.get(f"/tenants/{nobody}/keys"), 404, "tenant_not_found")


async def test_lists_are_pages(operator: httpx.AsyncClient) -> None:
    ours = [(await made(operator, fresh()))["id"] for _ in range(5)]
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await operator.get("/tenants", params=query)).json()
        assert 0 < len(page["items"]) <= 2
        seen += [tenant["id"] for tenant in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen[-5:] == ours
    assert len(set(seen)) == len(seen)
    for wrong, path in (({"limit": 0}, "query limit"), ({"limit": 201}, "query limit"), ({"cursor": "x"}, "query cursor"),
                        ({"page": 2}, "query page")):  # fmt: skip
        assert_problem(await operator.get("/tenants", params=wrong), 400, "invalid_request", path)


async def test_every_route_documents_its_refusals(app: FastAPI) -> None:
    described = app.openapi()
    assert described["components"]["securitySchemes"]["operator"]["scheme"] == "bearer"
    operations = [(path, verb, each) for path, verbs in described["paths"].items() for verb, each in verbs.items()]
    assert len(operations) == 21
    for path, verb, operation in operations:
        responses = operation["responses"]
        assert {"401", "503", "default"} <= set(responses), (path, verb)
        assert "422" not in responses, (path, verb)
        named = "{" in path or path.endswith(
            ("pause", "resume", "audit", "exposure", "webhook-endpoints", "deliveries")
        )
        assert ("403" in responses) == (verb != "get"), (path, verb)
        assert ("404" in responses) == named, (path, verb)
        for status in set(responses) - {"200", "201", "204"}:
            assert list(responses[status]["content"]) == ["application/problem+json"]
