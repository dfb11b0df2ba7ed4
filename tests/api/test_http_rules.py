"""HTTP's general rules on every route of the running gateway: `Allow`, HEAD, slashes at the end, escapes in paths."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.routing import Route

from app.core.config.settings import load_settings
from app.main import create_app
from app.segmind.routes import NoModel
from tests.gateway import Gateway, TenantKey

ADMIN_KEY = "an-admin-key-that-only-tests-know-0123456789"
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
NOBODY = f"job_{'0' * 32}"
CHANGING = ("date", "ratelimit", "retry-after", "content-length")
"""Headers that differ between two answers to the same request; the length is compared where the body stays the same."""


class Routed:
    """The routes of the application: patterns of paths, made from their templates, and methods."""

    def __init__(self, gateway: Gateway) -> None:
        environment = {name.removeprefix("WAYSTATION_").lower(): value for name, value in gateway.settings().items()}
        self._found: list[tuple[str, re.Pattern[str], set[str]]] = []
        self._walk(create_app(load_settings(**environment)).routes)

    def _walk(self, routes: Any) -> None:
        for route in routes:
            if isinstance(route, Route) and not isinstance(route, NoModel):
                segment = "(?!requests|get-user-credits)[^/]+" if ":slug" in route.path else "[^/]+"
                pattern = re.compile(re.sub(r"\\\{.*?\\\}", segment, re.escape(route.path)))
                self._found.append((route.path, pattern, set(route.methods or ()) - {"HEAD"}))
            elif hasattr(route, "original_router"):
                self._walk(route.original_router.routes)

    @property
    def paths(self) -> list[str]:
        """One path of each route."""
        return sorted({self._concrete(template) for template, _, _ in self._found})

    def _concrete(self, template: str) -> str:
        path = template.replace("{model:slug}", "sim-instant").replace("{slug}", "sim-instant")
        path = path.replace("{request_id}", NOBODY).replace("{job_id}", NOBODY)
        return re.sub(r"\{.*?\}", "x" * 8, path)

    def methods(self, path: str) -> set[str]:
        """Of all routes that have the path."""
        return set().union(*(methods for _, pattern, methods in self._found if pattern.fullmatch(path)))


@pytest.fixture(scope="module")
async def url(stack: Gateway) -> AsyncIterator[str]:
    async with stack.api(ADMIN_KEY=ADMIN_KEY) as made:
        yield made


@pytest.fixture(scope="module")
def routed(stack: Gateway) -> Routed:
    routed = Routed(stack)
    assert len(routed.paths) > 40
    return routed


@pytest.fixture
async def caller(url: str, tenant: TenantKey) -> AsyncIterator[httpx.AsyncClient]:
    """A tenant and the operator at once."""
    headers = {**tenant.headers, "authorization": f"Bearer {ADMIN_KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=40) as client:
        yield client


def assert_error(answer: httpx.Response, status: int) -> None:
    """In the shape of the surface."""
    assert answer.status_code == status, (answer.request.method, answer.request.url, answer.text)
    ours = answer.request.url.path.startswith(("/api/", "/admin/"))
    assert answer.headers["content-type"] == ("application/problem+json" if ours else "application/json")
    assert isinstance(answer.json()["code"], str)


async def test_a_wrong_method_is_405_and_allow_has_all_methods_of_the_path(
    caller: httpx.AsyncClient, routed: Routed
) -> None:
    for path in routed.paths:
        methods = routed.methods(path)
        for verb in VERBS:
            if verb in methods:
                continue
            answer = await caller.request(verb, path)
            assert_error(answer, 405)
            allowed = answer.headers["allow"].split(", ")
            assert sorted(allowed) == sorted(methods | ({"HEAD"} if "GET" in methods else set())), (verb, path)


async def test_a_slash_at_the_end_is_another_path_and_404(caller: httpx.AsyncClient, routed: Routed) -> None:
    for path in routed.paths:
        for verb in VERBS:
            assert_error(await caller.request(verb, f"{path}/"), 404)


async def raw(url: str, *requests: bytes) -> list[tuple[bytes, dict[str, str], bytes]]:
    """The answers to pipelined requests, the last of which must end the connection: first line, headers, body."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    answers = []
    try:
        writer.write(b"".join(requests))
        async with asyncio.timeout(60):
            for request in requests:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").rstrip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                length = 0 if request.startswith(b"HEAD ") else int(headers["content-length"])
                answers.append((first.encode(), headers, await reader.readexactly(length)))
            assert await reader.read() == b""
    finally:
        writer.close()
    return answers


async def test_head_has_the_headers_of_get_and_no_body(url: str, tenant: TenantKey, routed: Routed) -> None:
    """Answered on one connection, so that a body after HEAD's headers would be taken for the next answer."""
    keys = f"host: a\r\nx-api-key: {tenant.key}\r\nauthorization: Bearer {ADMIN_KEY}\r\n".encode()
    stays = 0
    for path in routed.paths:
        if "GET" not in routed.methods(path):
            continue
        target = path.encode()
        head, get, again = await raw(
            url,
            b"HEAD %b HTTP/1.1\r\n%b\r\n" % (target, keys),
            b"GET %b HTTP/1.1\r\n%b\r\n" % (target, keys),
            b"GET %b HTTP/1.1\r\n%bconnection: close\r\n\r\n" % (target, keys),
        )
        assert head[0] == get[0], path
        named = [{name: value for name, value in one[1].items() if name not in CHANGING} for one in (head, get)]
        assert named[0] == named[1], path
        assert set(head[1]) == set(get[1])
        if get[2] == again[2]:
            stays += 1
            assert head[1]["content-length"] == get[1]["content-length"], path
    assert stays > 20


async def test_head_is_not_get_for_who_may_not_read(url: str, routed: Routed) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=40) as stranger:
        for path in routed.paths:
            if "GET" in routed.methods(path):
                assert (await stranger.head(path)).status_code == (await stranger.get(path)).status_code, path
            else:
                assert (await stranger.head(path)).status_code == 405, path


ODD_ENDS = ("%0a", "%0A", "%0d", "%0d%0a", "%00", "%2f", "%ff", "%c3%28", "%250a", "/", "/.", "/..", "%2f..")


async def test_odd_ends_of_a_path_lead_nowhere(url: str, tenant: TenantKey, stack: Gateway, routed: Routed) -> None:
    keys = f"host: a\r\nx-api-key: {tenant.key}\r\nauthorization: Bearer {ADMIN_KEY}\r\n".encode()
    for path in [*routed.paths, "/v1/sim-echo", f"/v2/{'m' * 128}"]:
        for end in ODD_ENDS:
            target = (path + end).encode()
            verb = min(routed.methods(path))
            body = b"content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
            [(first, headers, told)] = await raw(url, b"%b %b HTTP/1.1\r\n%b%b" % (verb.encode(), target, keys, body))
            assert first.split()[1] in (b"404", b"400"), (verb, target, told)
            assert headers["content-type"] in ("application/json", "application/problem+json"), target
            assert isinstance(json.loads(told)["code"], str), target
    assert await stack.sql("SELECT FROM jobs WHERE tenant_id = $1", tenant.id) == []


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/v2/sim%2Dinstant", 200),
        (b"/v2/%73im-instant?%0a", 200),
        (b"http://elsewhere.example/v2/sim-instant", 200),
        (b"//v2/sim-instant", 404),
        (b"/v2//sim-instant", 404),
        (b"/v2%2fsim-instant", 404),
        (b"/%76%32/sim-instant%0a", 404),
        (b"/v2/../v2/sim-instant", 404),
        (b"/v2/%2e%2e/sim-instant", 404),
        (b"/v2/sim-instant;a=b", 404),
        (b"/V2/sim-instant", 404),
        (b"*", 404),
    ],
)
async def test_paths_as_they_are_spelt(url: str, tenant: TenantKey, stack: Gateway, target: bytes, status: int) -> None:
    head = f"host: a\r\nx-api-key: {tenant.key}\r\ncontent-type: application/json\r\nconnection: close\r\n".encode()
    [(first, _, body)] = await raw(url, b"POST %b HTTP/1.1\r\n%bcontent-length: 2\r\n\r\n{}" % (target, head))
    assert first.split()[1] == b"%d" % status, body
    jobs = await stack.sql("SELECT model FROM jobs WHERE tenant_id = $1", tenant.id)
    assert [row["model"] for row in jobs] == (["sim-instant"] if status == 200 else [])


async def test_options_of_the_whole_server(url: str) -> None:
    [(first, headers, _)] = await raw(url, b"OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert (first.split()[1], headers["content-type"]) == (b"404", "application/json")


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("POST", "/v2/requests", 404),
        ("POST", "/v2/get-user-credits", 404),
        ("POST", "/v1/requests", 404),
        ("POST", "/v1/get-user-credits", 405),
        ("POST", f"/v2/requests/{NOBODY}", 405),
        ("POST", f"/v2/requests/{NOBODY}/status", 405),
        ("POST", f"/v1/requests/{NOBODY}/status", 404),
        ("GET", "/v2/requests", 404),
        ("GET", "/v2/get-user-credits", 404),
        ("PUT", "/admin/v1/models/requests", 404),
        ("PUT", "/admin/v1/models/get-user-credits", 404),
        ("GET", "/api/v1/models/get-user-credits", 404),
    ],
)
async def test_paths_of_the_upstreams_own_are_no_models(
    caller: httpx.AsyncClient, verb: str, path: str, status: int
) -> None:
    answer = await caller.request(verb, path, json={} if verb != "GET" else None)
    assert_error(answer, status)
    if status == 405:
        assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("model", ["requests", "get-user-credits", "a/b", "sim-instant\n", "..", ""])
async def test_natively_they_are_no_models_either(
    caller: httpx.AsyncClient, stack: Gateway, tenant: TenantKey, model: str
) -> None:
    for path in ("/api/v1/jobs", "/api/v1/jobs/quote"):
        answer = await caller.post(path, json={"model": model, "input": {}})
        assert_error(answer, 404)
        assert answer.json()["code"] == "model_not_found"
    assert await stack.sql("SELECT FROM jobs WHERE tenant_id = $1", tenant.id) == []


async def test_a_submit_to_no_model_is_recorded(caller: httpx.AsyncClient, stack: Gateway, tenant: TenantKey) -> None:
    for path in ("/v2/a/b", "/v2/requests", "/v2/sim-instant/", "/v2/sim-instant%0a"):
        answer = await caller.post(path, json={})
        assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
    rows = "SELECT sum(count)::int AS count FROM ops.requests WHERE tenant = $1 AND status_code = 404"
    assert (await stack.sql(rows, tenant.name))[0]["count"] == 4
