"""`POST /api/v1/jobs`: 202, 201, 200, and refusals as problem documents."""

import json
from typing import Any

import httpx
import pytest

from app.tenants.models import Scope
from tests.api.conftest import PARKED, NewJob, assert_problem, lasting
from tests.gateway import Gateway, TenantKey
from tests.stopwatch import Stopwatch

URL = "/api/v1/jobs"
JSON = {"content-type": "application/json"}


async def test_202_with_the_job_and_its_location(stack: Gateway, client: httpx.AsyncClient) -> None:
    watch = Stopwatch()
    body = {
        "model": "sim-instant",
        "input": {"a": [1]},
        "metadata": {"k": "v", "n": 1.5, "b": False, "z": None},
        "priority": 0,
        "not_before": PARKED,
    }
    answer = await client.post(URL, json=body)
    assert answer.status_code == 202
    job = answer.json()
    shown = job["id"]
    assert answer.headers["location"] == f"{stack.url}/api/v1/jobs/{shown}"
    assert answer.headers["content-type"] == "application/json"
    assert "idempotent-replayed" not in answer.headers
    assert job["model"] == "sim-instant"
    assert job["status"] == "QUEUED"
    assert job["input"] == {"a": [1]}
    assert job["metadata"] == {"k": "v", "n": 1.5, "b": False, "z": None}
    assert job["priority"] == 0
    assert (
        job["output"] is job["error"] is job["started_at"] is job["finished_at"] is job["cancel_requested_at"] is None
    )
    assert job["metrics"] == {"queue_seconds": None, "upstream_seconds": None, "total_seconds": None, "polls": 0}
    assert (job["attempt"], job["late_result"]) == (0, False)
    assert job["created_at"].endswith("Z")
    assert job["urls"]["self"] == answer.headers["location"]
    assert all(url.startswith(stack.url) for url in job["urls"].values())
    assert watch.own_seconds < 5
    assert lasting(await client.get(job["urls"]["self"])) == lasting(answer)


async def test_201_when_it_ends_within_the_wait(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json={"model": "sim-echo", "input": {"echo": 7}}, headers={"prefer": "wait=20"})
    assert answer.status_code == 201
    job = answer.json()
    assert (job["status"], job["output"]) == ("COMPLETED", 7)
    assert job["metrics"]["total_seconds"] >= job["metrics"]["queue_seconds"] > 0
    assert job["metrics"]["upstream_seconds"] > 0
    assert job["metrics"]["polls"] > 0
    assert job["attempt"] == 1


async def test_202_when_the_wait_is_over(client: httpx.AsyncClient) -> None:
    watch = Stopwatch()
    answer = await client.post(URL, json={"model": "sim-hang", "input": {}}, headers={"prefer": "wait=0.4"})
    assert answer.status_code == 202
    assert watch.seconds >= 0.4
    assert watch.own_seconds < 3


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("respond-async, wait=0.2", "wait=0.2"),
        ("wait=0", "wait=0"),
        ("wait=1e9", None),
        ("wait=-1", None),
        ("respond-async", None),
    ],
)
async def test_the_preference_that_was_applied_is_told(
    client: httpx.AsyncClient, prefer: str, applied: str | None
) -> None:
    body = {"model": "sim-instant", "input": {}, "not_before": PARKED}
    headers = {"prefer": prefer, "idempotency-key": "told"}
    for status in (202, 200):
        answer = await client.post(URL, json=body, headers=headers)
        assert (answer.status_code, answer.headers.get("preference-applied")) == (status, applied)
    refused = await client.post(URL, json={}, headers=headers)
    assert (refused.status_code, "preference-applied" in refused.headers) == (400, False)


@pytest.mark.parametrize("prefer", ["wait", "wait=", "respond-async, wait"])
async def test_a_wait_without_a_number_is_a_wait(client: httpx.AsyncClient, prefer: str) -> None:
    answer = await client.post(URL, json={"model": "sim-echo", "input": {"echo": 7}}, headers={"prefer": prefer})
    assert (answer.status_code, answer.json()["output"]) == (201, 7)
    assert answer.headers["preference-applied"] == "wait=25"


async def test_200_for_a_replayed_key(client: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "replay"}
    body = {"model": "sim-instant", "input": {"n": 1}, "not_before": PARKED}
    first = await client.post(URL, json=body, headers=headers)
    assert first.status_code == 202
    again = await client.post(URL, json=body, headers=headers)
    assert again.status_code == 200
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert lasting(again) == lasting(first)
    other = await client.post(URL, json={**body, "input": {"n": 2}}, headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")


async def test_null_options_are_left_out(client: httpx.AsyncClient) -> None:
    body = {
        "model": "sim-instant",
        "input": {},
        "metadata": None,
        "priority": None,
        "deadline_seconds": None,
        "not_before": PARKED,
    }
    answer = await client.post(URL, json=body)
    assert answer.status_code == 202
    assert answer.json()["priority"] == 5
    assert answer.json()["metadata"] == {}


FIELDS: dict[str, list[Any]] = {
    "model": [None, 1, [], {}],
    "input": [None, [], "x", 1],
    "metadata": [[], "x", 1, {"a": {}}, {"a": []}, {"a": "\0"}, {"a": 2**60}, {"k": "v" * 20_000}, {str(n): n for n in range(51)}],
    "priority": [-1, 10, 1.5, "5", True],
    "deadline_seconds": [0, -1, "60", True, 10**9],
    "not_before": ["soon", 5, "2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", ""],
    "on_unknown": ["maybe", 1],
    "webhook_url": [""],
    "surprise": [1],
    "sur\u00e9prise": [1],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param(name, value, id=f"{name}-{place}") for name in FIELDS for place, value in enumerate(FIELDS[name])],
)
async def test_400_names_the_field(client: httpx.AsyncClient, name: str, value: Any) -> None:
    answer = await client.post(URL, json={"model": "sim-instant", "input": {}, name: value})
    errors = assert_problem(answer, 400, "invalid_request")["errors"]
    assert errors[0]["path"].startswith(f"$.{name}")
    assert errors[0]["message"]


@pytest.mark.parametrize("field", ["model", "input"])
async def test_400_for_what_is_missing(client: httpx.AsyncClient, field: str) -> None:
    body = {"model": "sim-instant", "input": {}}
    del body[field]
    errors = assert_problem(await client.post(URL, json=body), 400, "invalid_request")["errors"]
    assert errors[0]["path"] == f"$.{field}"


async def test_400_schema(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json={"model": "motionctrl-svd", "input": {"fps": "7"}})
    errors = assert_problem(answer, 400, "invalid_parameters")["errors"]
    assert {error["path"] for error in errors} == {
        "$.input.fps",
        *(f"$.input.{name}" for name in ("cond_aug", "input_image", "motion", "motion_bucket_id")),
    }
    assert all(error["message"].startswith("is required: expected ") for error in errors if "fps" not in error["path"])


def _input(value: bytes) -> bytes:
    return b'{"model":"sim-instant","input":{"a":' + value + b"}}"


BOMBS = {
    "NaN": _input(b"NaN"),
    "Infinity": _input(b"-Infinity"),
    "overflow in an option": b'{"model":"sim-instant","input":{},"deadline_seconds":1e999}',
    "overflow in metadata": b'{"model":"sim-instant","input":{},"metadata":{"a":1e999}}',
    "twin members": _input(b'{"x":1,"x":2}'),
    "twin inputs": b'{"model":"sim-instant","input":{},"input":{}}',
    "depth": _input(b"[" * 100_000 + b"]" * 100_000),
    "depth of objects": _input(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "depth just over": _input(b"[" * 65 + b"]" * 65),
    "digits": _input(b"9" * 5_000),
    "a million digits": _input(b"9" * 1_000_000),
    "members": _input(b"{" + b",".join(b'"%d":0' % n for n in range(1_000_000))[:9_000_000].rpartition(b",")[0] + b"}"),
    "invalid utf-8": _input(b'"\xc3\x28"'),
    "surrogate as utf-8": _input(b'"\xed\xa0\x80"'),
    "surrogate as field": b'{"model":"sim-instant","input":{},"\\ud800":1}',
    "surrogate in metadata": b'{"model":"sim-instant","input":{},"metadata":{"\\udfff":[]}}',
    "surrogate as model": b'{"model":"\\ud800","input":{}}',
    "NUL as model": b'{"model":"\\u0000","input":{}}',
    "surrogate as instant": b'{"model":"sim-instant","input":{},"not_before":"\\ud800"}',
    "escaped name": b'{"model":"sim-instant","input":{},"\\u0000":1}',
}


@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_are_4xx_quickly(client: httpx.AsyncClient, name: str) -> None:
    watch = Stopwatch()
    answer = await client.post(URL, content=BOMBS[name], headers=JSON)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"]
    assert watch.own_seconds < 3


async def test_numbers_beyond_a_double_are_json_and_forwarded(stack: Gateway, client: httpx.AsyncClient) -> None:
    body = b'{"input": {"echo":[1e999,1e-400]} ,"model":"sim-echo"}'
    answer = await client.post(URL, content=body, headers={**JSON, "prefer": "wait=20"})
    assert answer.status_code == 201
    assert b'"input":{"echo":[1e999,1e-400]}' in answer.content
    assert b'"output":[1e999,1e-400]' in answer.content
    assert len(stack.book.starts(b'{"echo":[1e999,1e-400]}')) == 1


async def test_a_byte_order_mark_is_no_part_of_the_shown_input(client: httpx.AsyncClient) -> None:
    submitted = await client.post("/v2/sim-instant", content=b'\xef\xbb\xbf{"a":1}', headers=JSON)
    if submitted.status_code == 400:
        assert submitted.json()["code"] == "invalid_json"
        return
    answer = await client.get(f"{URL}/{submitted.json()['request_id']}")
    assert json.loads(answer.content)["input"] == {"a": 1}


async def test_other_refusals(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    good = {"model": "sim-instant", "input": {}}
    reader = await stack.tenant(scopes=[Scope.JOBS_READ])
    answer = await client.post(URL, json=good, headers={"x-api-key": ""})
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert_problem(await client.post(URL, json=good, headers=reader.headers), 403, "scope_missing")
    assert_problem(await client.post(URL, json={**good, "model": "a/b"}), 404, "model_not_found")
    assert_problem(await client.post(URL, json={**good, "model": "requests"}), 404, "model_not_found")
    assert_problem(
        await client.post(URL, content=b"x", headers={"content-type": "text/plain"}), 415, "unsupported_media_type"
    )
    assert_problem(await client.post(URL, content=b"x" * 11_000_000, headers=JSON), 413, "body_too_large")
    assert_problem(await client.post(URL, json=good, headers={"idempotency-key": "a b"}), 400, "invalid_request")
    sql = "SELECT code, sum(count)::int AS n FROM ops.requests WHERE tenant = $1 AND surface = 'native' GROUP BY 1"
    rows = {row["code"]: row["n"] for row in await stack.sql(sql, tenant.name)}
    assert rows == {"model_not_found": 2, "unsupported_media_type": 1, "body_too_large": 1, "invalid_request": 1}


async def test_priority_goes_first(client: httpx.AsyncClient, new_job: NewJob) -> None:
    job = await new_job(priority=9)
    assert job["priority"] == 9
