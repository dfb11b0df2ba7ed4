"""Query parameters that a route does not have are refused on our own surfaces, and ignored on the upstream-shaped one."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from starlette.routing import Route

from app.core.config.settings import load_settings
from app.main import create_app
from tests.api.conftest import NewJob, assert_problem
from tests.gateway import Gateway, TenantKey

JOBS = "/api/v1/jobs"
ADMIN_KEY = "admin-key-of-the-tests-0123456789"
NOBODY = "0" * 32
SETTINGS = {
    "database_url": "postgresql://u@127.0.0.1:1/x",
    "redis_url": "redis://127.0.0.1:1",
    "public_url": "http://localhost",
    "secret_key": "a-secret-that-only-tests-know-0123456789",
}


def routes_of_the_app() -> Iterator[tuple[str, str]]:
    """Method and path of every route there is."""

    def walk(found: Any) -> Iterator[tuple[str, str]]:
        for route in found:
            if isinstance(route, Route):
                yield from ((method, route.path) for method in sorted(route.methods or ()) if method != "HEAD")
            elif hasattr(route, "original_router"):
                yield from walk(route.original_router.routes)

    return walk(create_app(load_settings(**SETTINGS)).routes)


ROUTES = sorted(set(routes_of_the_app()))
OURS = [route for route in ROUTES if route[1].startswith(("/api/", "/admin/"))]
THEIRS = [route for route in ROUTES if route[1].startswith(("/v1/", "/v2/")) and "{model:path}" not in route[1]]
"""Without those for what can be no model."""


def filled(path: str) -> str:
    """The path of nothing that there is."""
    return re.sub(r"\{(\w+)(:path)?\}", f"job_{NOBODY}", path)


@pytest.fixture(scope="session")
async def admin_url(stack: Gateway) -> Any:
    async with stack.api(ADMIN_KEY=ADMIN_KEY) as url:
        yield url


async def test_no_route_of_ours_takes_what_it_does_not_have(stack: Gateway, tenant: TenantKey, admin_url: str) -> None:
    assert len(OURS) > 40
    async with httpx.AsyncClient(base_url=admin_url, timeout=40) as client:
        for method, path in OURS:
            operators = path.startswith("/admin/")
            headers = {"authorization": f"Bearer {ADMIN_KEY}"} if operators else tenant.headers
            body = {"model": "sim-instant", "input": {}} if path in (JOBS, f"{JOBS}/quote") else {}
            json = None if method in ("GET", "DELETE") else body
            query = [("no_such_parameter", "1"), ("another", "1")]
            url = f"{filled(path)}?{urlencode(query)}"
            errors = assert_problem(
                await client.request(method, url, headers=headers, json=json), 400, "invalid_request"
            )["errors"]
            assert [error["path"] for error in errors] == [f"query {name}" for name, _ in query], (method, path)


async def test_the_upstreams_routes_ignore_it(client: httpx.AsyncClient, new_job: NewJob) -> None:
    assert len(THEIRS) == 6
    shown = (await new_job())["id"]
    for method, path in THEIRS:
        answer = await client.request(
            method,
            path.replace("{request_id}", shown).replace("{model:slug}", "sim-instant")
            + "?no_such_parameter=1&limit=1&limit=2",
            json={} if method == "POST" else None,
        )
        assert answer.status_code == 200, (method, path, answer.text)


NAMES = ("created_after", "created_before", "cursor", "limit", "model", "status", "metadata.NAME")
TYPOS = {
    f"{JOBS}?staus=COMPLETED": ("query staus", "did you mean status?"),
    f"{JOBS}?Status=COMPLETED": ("query Status", "did you mean status?"),
    f"{JOBS}?metadata=x": ("query metadata", "did you mean metadata.NAME?"),
    f"{JOBS}?metadata[customer]=x": ("query metadata[customer]", "did you mean metadata.NAME?"),
    f"{JOBS}?created_at=2026-01-01T00:00:00Z": ("query created_at", "did you mean created_after?"),
    f"{JOBS}?zzz=1": ("query zzz", f"expected one of {', '.join(NAMES)}"),
    f"{JOBS}/job_{NOBODY}?timeout=5": ("query timeout", "expected one of wait"),
    "/api/v1/deliveries?endpoint=whe_1": ("query endpoint", "did you mean endpoint_id?"),
    "/api/v1/balance?tenant=x": ("query tenant", "this route has no query parameters"),
    f"{JOBS}?limit=1&limit=2": ("query limit", "expected once, found 2 times"),
    f"{JOBS}?metadata.team=a&metadata.team=b": ("query metadata.team", "expected once, found 2 times"),
    f"{JOBS}?model=": ("query model", "expected the slug of a model"),
    f"{JOBS}?status=": ("query status", "expected one of"),
    f"{JOBS}?limit=": ("query limit", "expected a whole number"),
    f"{JOBS}?{'x' * 5_000}=1": (f"query {'x' * 100}", "unknown parameter"),
    f"{JOBS}?%00%ff=1": ("query \0\ufffd", "unknown parameter"),
}


@pytest.mark.parametrize("url", TYPOS)
async def test_a_slip_is_told_with_what_was_meant(client: httpx.AsyncClient, url: str) -> None:
    path, said = TYPOS[url]
    [error] = assert_problem(await client.get(url), 400, "invalid_request")["errors"]
    assert error["path"] == path
    assert said in error["message"]


async def test_what_a_route_has_is_taken(client: httpx.AsyncClient, new_job: NewJob) -> None:
    job = await new_job(metadata={"team": "a", "": "b"})
    for query in (
        "status=QUEUED&model=sim-instant&limit=10&created_after=2026-01-01T00:00:00Z&metadata.team=a&metadata.=b",
        "metadata.team=a",
        "",
        "&&",
    ):
        items = (await client.get(f"{JOBS}?{query}")).json()["items"]
        assert [item["id"] for item in items] == [job["id"]], query
    assert (await client.get(f"{JOBS}?metadata.team=")).json()["items"] == []
    assert (await client.get(f"{JOBS}/{job['id']}?wait=0")).status_code == 200
    assert (await client.get("/api/v1/events?after=&limit=5")).status_code == 200


async def test_many_unknown_ones_are_told_up_to_a_bound(client: httpx.AsyncClient) -> None:
    url = f"{JOBS}?" + "&".join(f"statu{number}=1" for number in range(2_000))
    problem = assert_problem(await client.get(url), 400, "invalid_request")
    assert len(problem["errors"]) == 20


async def test_a_submit_that_is_refused_for_its_query_is_written_down(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey
) -> None:
    body = {"model": "sim-instant", "input": {}, "priority": 11}
    problem = assert_problem(await client.post(f"{JOBS}?wait=5", json=body), 400, "invalid_request")
    assert [error["path"] for error in problem["errors"]] == ["query wait", "$.priority"]
    [kept] = await stack.sql("SELECT status_code, code, model FROM ops.requests WHERE tenant = $1", tenant.name)
    assert tuple(kept) == (400, "invalid_request", "sim-instant")
    assert await stack.sql("SELECT FROM jobs WHERE tenant_id = $1", tenant.id) == []
