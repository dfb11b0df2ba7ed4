"""Refused submits: each has its status, a sentence in `error`, a stable `code`, and its row in ops.requests."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from app.tenants.models import Scope
from tests.gateway import Gateway, TenantKey, eventually
from tests.stopwatch import Stopwatch

SEED_MODEL = "motionctrl-svd"
GOOD = {"cond_aug": 0.02, "fps": 7, "input_image": "https://x.example/i.png", "motion": "CW", "motion_bucket_id": 127}


def assert_refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a refusal, checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert isinstance(body["error"], str)
    assert body["error"]
    assert body["code"] == code
    assert "detail" not in body
    return body


async def rows_of(stack: Gateway, tenant: TenantKey) -> list[tuple[int, str, int]]:
    sql = "SELECT status_code, code, sum(count)::int AS count FROM ops.requests WHERE tenant = $1 GROUP BY 1, 2 ORDER BY 1, 2"
    return [tuple(row) for row in await stack.sql(sql, tenant.name)]  # type: ignore[misc]


MALFORMED = {
    "no json": b"fps=7",
    "empty": b"",
    "cut off": b'{"a":',
    "list": b"[1]",
    "string": b'"x"',
    "null": b"null",
    "two values": b"{} {}",
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "twin members": b'{"a":1,"a":2}',
    "twin members by escape": b'{"a":1,"\\u0061":2}',
    "too deep": b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
    "far too deep": b'{"a":' + b"[" * 100_000,
    "long number": b'{"a":' + b"9" * 5_000 + b"}",
    "million values": b'{"a":[' + b"1," * 1_000_000 + b"1]}",
    "no utf-8": b'{"a":"\xff\xfe"}',
    "utf-16": '{"a":1}'.encode("utf-16"),
    "control character": b'{"a":"\x01"}',
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_400_malformed(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey, name: str) -> None:
    watch = Stopwatch()
    answer = await client.post("/v2/sim-instant", content=MALFORMED[name], headers={"content-type": "application/json"})
    assert watch.own_seconds < 2
    assert_refused(answer, 400, "invalid_json")
    assert await rows_of(stack, tenant) == [(400, "invalid_json", 1)]


async def test_400_schema_names_every_fault(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    body = {**GOOD, "fps": 4, "motion": "Spin"}
    del body["cond_aug"]
    answer = await client.post(f"/v2/{SEED_MODEL}", json=body)
    errors = assert_refused(answer, 400, "invalid_parameters")["errors"]
    assert {error["path"] for error in errors} == {"$.cond_aug", "$.fps", "$.motion"}
    assert all(set(error) == {"path", "message"} and error["message"] for error in errors)
    assert await rows_of(stack, tenant) == [(400, "invalid_parameters", 1)]
    assert await stack.sql("SELECT FROM jobs WHERE tenant_id = $1", tenant.id) == []


ODD_VALUES = {
    "overflow": b'{"cond_aug":1e999,',
    "underflow": b'{"cond_aug":-1e-999,"motion":5,',
    "big integer": b'{"cond_aug":' + b"9" * 400 + b",",
    "lone surrogate": b'{"cond_aug":"\\ud800",',
    "lone surrogate as key": b'{"\\udfff":1,"cond_aug":2,',
    "NUL": b'{"cond_aug":"\\u0000",',
    "deep": b'{"cond_aug":' + b"[" * 60 + b"]" * 60 + b",",
}


@pytest.mark.parametrize("name", ODD_VALUES)
async def test_odd_values_meet_the_schema_calmly(client: httpx.AsyncClient, name: str) -> None:
    rest = json.dumps({key: value for key, value in GOOD.items() if key not in ("cond_aug", "motion")}).encode()
    motion = b"" if b"motion" in ODD_VALUES[name] else b'"motion":"CW",'
    body = ODD_VALUES[name] + motion + rest[1:]
    answer = await client.post(f"/v2/{SEED_MODEL}", content=body, headers={"content-type": "application/json"})
    assert_refused(answer, 400, "invalid_parameters")


async def test_parameters_beyond_the_schema_are_forwarded(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        f"/v2/{SEED_MODEL}",
        content=json.dumps(GOOD).encode()[:-1] + b',"new_one":"\\ud800","n":1e999,"i":' + b"9" * 400 + b"}",
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "SG_3ec0a235721add59"},
        {"x-api-key": "ws_live_00000000_" + "a" * 49},
        {"authorization": "Basic Zm9vOmJhcg=="},
        {"authorization": "Bearer x"},
        {"x-api-key": "clé".encode("latin-1")},
        {"x-api-key": "x" * 20_000},
    ],
)
async def test_401(stack: Gateway, headers: dict[str, Any]) -> None:
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as stranger:
        answer = await stranger.post("/v2/sim-instant", json={}, headers=headers)
        assert_refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert_refused(await stranger.get(f"/v2/requests/job_{'0' * 32}/status", headers=headers), 401, "unauthorized")


async def test_401_is_counted_without_a_tenant(stack: Gateway) -> None:
    sql = "SELECT coalesce(sum(count), 0)::int AS n FROM ops.requests WHERE tenant_id IS NULL AND code = 'unauthorized'"
    before = (await stack.sql(sql))[0]["n"]
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as stranger:
        await stranger.post("/v2/a-strangers-model", json={})
    assert (await stack.sql(sql))[0]["n"] == before + 1
    assert await stack.sql("SELECT FROM ops.requests WHERE model = 'a-strangers-model'") == []


async def test_403_scope(stack: Gateway) -> None:
    reader = await stack.tenant(scopes=[Scope.JOBS_READ])
    writer = await stack.tenant(scopes=[Scope.JOBS_WRITE])
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as client:
        answer = await client.post("/v2/sim-instant", json={}, headers=reader.headers)
        assert assert_refused(answer, 403, "scope_missing")["scope"] == "jobs:write"
        assert await rows_of(stack, reader) == [(403, "scope_missing", 1)]
        path = f"/v2/requests/job_{'0' * 32}"
        assert_refused(await client.get(path, headers=writer.headers), 403, "scope_missing")
        assert (await client.post("/v2/sim-instant", json={}, headers=writer.headers)).status_code == 200


async def test_403_suspended_may_still_read(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    shown = (await client.post("/v2/sim-instant", json={})).json()["request_id"]
    await stack.sql("UPDATE tenants SET suspended_at = now() WHERE id = $1", tenant.id)
    try:

        async def turned_down() -> httpx.Response | None:
            answer = await client.post("/v2/sim-instant", json={})
            return answer if answer.status_code != 200 else None

        answer = await eventually(turned_down, gap_seconds=0.2)
        assert_refused(answer, 403, "tenant_suspended")
        assert (await client.get(f"/v2/requests/{shown}/status")).status_code == 200
    finally:
        await stack.sql("UPDATE tenants SET suspended_at = NULL WHERE id = $1", tenant.id)


async def test_403_disabled_and_410_retired_model(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    await stack.sql(
        "INSERT INTO models (slug, enabled, retired_at) VALUES ('off-model', false, NULL), ('old-model', true, now())"
        " ON CONFLICT DO NOTHING"
    )
    assert_refused(await client.post("/v2/off-model", json={}), 403, "model_not_allowed")
    assert_refused(await client.post("/v2/old-model", json={}), 410, "model_retired")
    assert_refused(await client.post("/v1/old-model", json={}), 410, "model_retired")
    assert await rows_of(stack, tenant) == [(403, "model_not_allowed", 1), (410, "model_retired", 2)]
    several = assert_refused(
        await client.post("/v2/old-model", json={}, headers={"x-priority": "x"}), 400, "invalid_request"
    )
    assert [error["path"] for error in several["errors"]] == ["header X-Priority", "path"]


@pytest.mark.parametrize(
    "slug",
    [
        "a/b",
        ".hidden",
        "-x",
        "_x",
        "a%20b",
        "a%00b",
        "%00",
        "a%2Fb",
        "caf%C3%A9",
        "a" * 129,
        "requests",
        "a%",
        "x%zz",
        "",
    ],
)
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_404_invalid_slug(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey, slug: str, version: str
) -> None:
    answer = await client.post(f"/{version}/{slug}", json={})
    assert_refused(answer, 404, "model_not_found")
    assert await rows_of(stack, tenant) == [(404, "model_not_found", 1)]


async def test_404_unknown_model_where_they_are_refused(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey
) -> None:
    async with stack.api(UNPRICED_MODELS="refuse") as url:
        assert_refused(await client.post(f"{url}/v2/never-heard-of", json={}), 404, "model_not_found")
        assert (await client.post(f"{url}/v2/{SEED_MODEL}", json=GOOD)).status_code == 200
    assert await rows_of(stack, tenant) == [(200, "accepted", 1), (404, "model_not_found", 1)]


async def test_413(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    body = b'{"a":"' + b"x" * (10 * 1024 * 1024) + b'"}'
    headers = {"content-type": "application/json"}
    assert_refused(await client.post("/v2/sim-instant", content=body, headers=headers), 413, "body_too_large")

    async def pieces() -> Any:
        for at in range(0, len(body), 65536):
            yield body[at : at + 65536]

    assert_refused(await client.post("/v2/sim-instant", content=pieces(), headers=headers), 413, "body_too_large")
    assert await rows_of(stack, tenant) == [(413, "body_too_large", 2)]


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": ""},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
async def test_415(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey, headers: dict[str, str]) -> None:
    assert_refused(await client.post("/v2/sim-instant", content=b"{}", headers=headers), 415, "unsupported_media_type")
    assert await rows_of(stack, tenant) == [(415, "unsupported_media_type", 1)]


OPTIONS = {
    "Idempotency-Key": ["", "a b", "x" * 256, "clé".encode("latin-1")],
    "X-Metadata": ["1", "[]", "{", '{"a":{}}', '{"a":[1]}', '{"a":NaN}', '{"a":1e999}', '{"a":' + "9" * 5_000 + "}",
                   '{"\\ud800":[1]}', '{"a":"\\u0000"}', '{"a":"\\ud800"}', "[" * 30_000, '{"a":1,"a":2}'],
    "X-Priority": ["", "-1", "10", "1.5", "high", "9" * 5_000, "٣".encode()],
    "X-Deadline-Seconds": ["", "0", "-1", "NaN", "Infinity", "1e999", "soon", "true", '"60"', "9" * 5_000, "[" * 30_000, "99999999"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param(name, value, id=f"{name}-{place}") for name in OPTIONS for place, value in enumerate(OPTIONS[name])],
)
async def test_400_options(stack: Gateway, client: httpx.AsyncClient, name: str, value: Any) -> None:
    answer = await client.post("/v2/sim-instant", json={}, headers={name: value})
    body = assert_refused(answer, 400, "invalid_request")
    assert name in json.dumps(body["errors"])


@pytest.mark.slow
async def test_a_flood_of_equal_refusals_is_few_rows_with_the_right_count(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey
) -> None:
    async def one(number: int) -> int:
        url = stack.urls[number % 2]
        return (await client.post(f"{url}/v2/a/b", json={"number": number})).status_code

    assert set(await asyncio.gather(*(one(number) for number in range(500)))) == {404}
    rows = await stack.sql("SELECT count, job_id FROM ops.requests WHERE tenant = $1", tenant.name)
    assert sum(row["count"] for row in rows) == 500
    assert len(rows) <= 2, "a minute may have turned meanwhile"
    assert all(row["job_id"] is None for row in rows)
