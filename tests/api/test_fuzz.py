"""Whatever is sent, it is never our fault: no answer is a 5xx, and each has the surface's shape."""

import asyncio
import json
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.config.settings import load_settings
from app.main import create_app
from tests.gateway import Gateway, TenantKey


def quoted(prefix: str) -> st.SearchStrategy[str]:
    """Paths below this one, of any characters."""
    return st.text(max_size=20).map(lambda text: prefix + quote(text, safe="/"))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.just("2026-01-01T00:00:00Z"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
FIELDS = ("model", "input", "metadata", "priority", "deadline_seconds", "not_before", "on_unknown", "webhook_url", "x")
BODIES = st.fixed_dictionaries(
    {"model": st.just("sim-hang") | JSON_VALUES, "input": st.just({}) | JSON_VALUES},
    optional=dict.fromkeys(FIELDS[2:], JSON_VALUES),
).map(lambda value: json.dumps(value).encode())
NOISE = st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789eE+-.\\u nulltruefalse', max_size=60).map(
    str.encode
)
SPOILT = st.tuples(BODIES, st.integers(0, 200), st.binary(max_size=3)).map(lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :])
VALUES = st.binary(max_size=40).map(lambda value: bytes(byte for byte in value if byte not in (0, 10, 13)).strip())
HEADERS = st.dictionaries(
    st.sampled_from(
        ["idempotency-key", "prefer", "x-metadata", "x-priority", "x-deadline-seconds", "content-encoding", "accept", "x-webhook-url"]
    ),
    VALUES | st.sampled_from([b"wait=0", b"wait=1e1", b'{"a":1}', b"5", b"0.1", b"\xb2", b'{"\\ud800":1}', b"identity"]),
    max_size=4,
)  # fmt: skip
PATHS = st.sampled_from(["/api/v1/jobs", "/v2/sim-hang", "/v2/motionctrl-svd"]) | quoted("/v2/")
QUERIES = st.dictionaries(
    st.sampled_from(["status", "model", "limit", "cursor", "wait", "created_after", "created_before", "metadata.k", "metadata."]),
    st.text(max_size=20) | st.integers().map(str) | st.datetimes().map(lambda at: at.isoformat() + "Z"),
    max_size=3,
)  # fmt: skip


def assert_sound(answer: httpx.Response, path: str) -> None:
    """Not our fault, and in the surface's shape."""
    assert answer.status_code < 500 or answer.status_code == 504, (path, answer.text)
    if answer.status_code >= 400:
        body = answer.json()
        assert isinstance(body["code"], str)
        if path.startswith("/api/"):
            assert answer.headers["content-type"] == "application/problem+json"
        else:
            assert answer.headers["content-type"] == "application/json"
            assert isinstance(body["error"], str)


def fuzzed(stack: Gateway, tenant: TenantKey, calls: Any) -> None:
    """Run calls against the application in this process: many more a second than over a socket."""
    environment = {name.removeprefix("WAYSTATION_").lower(): value for name, value in stack.settings().items()}

    async def run() -> None:
        app = create_app(load_settings(**environment))
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            headers = {"x-api-key": tenant.key, "content-type": "application/json"}
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
                loop = asyncio.get_running_loop()
                await asyncio.to_thread(
                    calls, lambda call: asyncio.run_coroutine_threadsafe(call(client), loop).result(20)
                )

    asyncio.run(run())


def test_posts_are_never_our_fault(stack: Gateway, tenant: TenantKey) -> None:
    def calls(do: Any) -> None:
        @settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(path=PATHS, body=BODIES | NOISE | SPOILT, headers=HEADERS)
        def one(path: str, body: bytes, headers: dict[str, bytes]) -> None:
            url = f"http://gateway{path}"
            answer = do(lambda client: client.post(url, content=body, headers=headers))
            assert_sound(answer, path)

        one()

    fuzzed(stack, tenant, calls)


def test_gets_are_never_our_fault(stack: Gateway, tenant: TenantKey) -> None:
    def calls(do: Any) -> None:
        @settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(
            path=st.sampled_from(["/api/v1/jobs", f"/api/v1/jobs/job_{'0' * 32}"])
            | quoted("/v2/requests/")
            | quoted("/api/v1/jobs/"),
            query=QUERIES,
        )
        def one(path: str, query: dict[str, str]) -> None:
            wait = {"wait": "0"} if query.get("wait", "").isdigit() else {}
            url = f"http://gateway{path}?{urlencode({**query, **wait})}"
            assert_sound(do(lambda client: client.get(url)), path)

        one()

    fuzzed(stack, tenant, calls)
