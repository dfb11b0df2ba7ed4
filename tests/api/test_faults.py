"""Every fault of a request is told at once, with its place and what was expected there."""

import time
from typing import Any

import httpx
import pytest

from app.catalog.decide import validator_of
from app.catalog.faults import problems_of
from app.http_client.guard import OUTPUT_NETWORKS, Guard, UrlRefused, parse_url
from tests.api.conftest import assert_problem
from tests.gateway import Gateway, TenantKey

URL = "/api/v1/jobs"
GOOD = {
    "cond_aug": 0.02, "fps": 7, "input_image": "https://example.com/i.png", "motion": "CW", "motion_bucket_id": 127,
}  # fmt: skip


def paths(problem: dict[str, Any]) -> list[str]:
    return sorted(error["path"] for error in problem["errors"])


async def test_a_body_is_told_all_that_is_wrong_with_it(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey
) -> None:
    body = {
        "model": "motionctrl-svd",
        "input": {**GOOD, "fps": 4, "motion": "Spin"},
        "prioritty": 5,
        "priority": 11,
        "deadline_seconds": -1,
        "not_before": "9999-12-31T00:00:00Z",
        "max_price": 1,
        "metadata": {"a": [], "b": {}, "c": "fine"},
        "webhook_url": "http://10.0.0.1/",
        "webhook_events": ["job.done"],
        "on_unknown": "guess",
    }
    expected = [
        "$.deadline_seconds", "$.input.fps", "$.input.motion", "$.max_price", "$.metadata.a", "$.metadata.b", "$.not_before",
        "$.on_unknown", "$.prioritty", "$.priority", "$.webhook_events", "$.webhook_url",
    ]  # fmt: skip
    for path in (URL, f"{URL}/quote"):
        answer = await client.post(path, json=body, headers={"idempotency-key": "ok"})
        problem = assert_problem(answer, 400, "invalid_request")
        assert paths(problem) == sorted(expected)
        for error in problem["errors"]:
            assert error["path"] in problem["detail"], "the sentence names each of them"
            assert error["message"]
    assert next(error for error in problem["errors"] if error["path"] == "$.prioritty")["message"] == (
        "unknown field; did you mean priority?"
    )
    answer = await client.post(URL, json=body, headers={"idempotency-key": "a b"})
    assert paths(answer.json()) == sorted([*expected, "header Idempotency-Key"])
    assert await stack.sql("SELECT FROM jobs WHERE tenant_id = $1", tenant.id) == []


async def test_headers_and_parameters_of_the_upstream_shaped_surface(client: httpx.AsyncClient) -> None:
    headers = {
        "Idempotency-Key": "a b",
        "X-Metadata": '{"a":',
        "X-Priority": "ten",
        "X-Deadline-Seconds": "soon",
        "X-Webhook-Url": "https://10.0.0.2/",
        "X-Webhook-Events": "job.done",
    }
    body = {name: value for name, value in GOOD.items() if name != "motion"}
    answer = await client.post("/v2/motionctrl-svd", json=body, headers=headers)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "invalid_request")
    assert paths(problem) == sorted(["$.motion", *(f"header {name}" for name in headers)])
    metadata = next(one for one in problem["errors"] if one["path"] == "header X-Metadata")["message"]
    assert metadata.startswith('expected a JSON object, such as {"team": "a"}; the header is not JSON')
    assert "the body" not in answer.text


async def test_a_missing_parameter_is_named(client: httpx.AsyncClient) -> None:
    for name in GOOD:
        body = {other: value for other, value in GOOD.items() if other != name}
        answer = await client.post("/v2/motionctrl-svd", json=body)
        [error] = answer.json()["errors"]
        assert (error["path"], answer.json()["code"]) == (f"$.{name}", "invalid_parameters")
        assert error["message"].startswith("is required: expected ")
        answer = await client.post(URL, json={"model": "motionctrl-svd", "input": body})
        [error] = assert_problem(answer, 400, "invalid_parameters")["errors"]
        assert error["path"] == f"$.input.{name}"


async def test_what_is_wrong_beside_a_model_that_there_is_not(client: httpx.AsyncClient) -> None:
    for model in ("a/b", "requests", 7):
        problem = assert_problem(
            await client.post(URL, json={"model": model, "input": {}, "priority": 11}), 400, "invalid_request"
        )
        assert paths(problem) == ["$.model", "$.priority"]


async def test_null_is_as_if_it_were_left_out(client: httpx.AsyncClient) -> None:
    names = ("metadata", "deadline_seconds", "not_before", "max_price", "webhook_url", "webhook_events", "on_unknown")
    body = {"model": "sim-instant", "input": {}, "priority": None, **dict.fromkeys(names)}
    answer = await client.post(URL, json=body)
    assert (answer.status_code, answer.json().get("priority")) == (202, 5)


async def test_unknown_fields_without_end(client: httpx.AsyncClient) -> None:
    body = {"model": "sim-instant", "input": {}, **{f"priority{number}": 1 for number in range(50_000)}}
    began_at = time.monotonic()
    problem = assert_problem(await client.post(URL, json=body), 400, "invalid_request")
    assert time.monotonic() - began_at < 20
    assert len(problem["errors"]) == 21
    assert problem["errors"][-1] == {"path": "$", "message": "49980 more unknown fields"}


async def test_endpoints_are_told_all_and_the_setting_that_opens_networks(client: httpx.AsyncClient) -> None:
    body = {"url": "https://10.0.0.1/", "events": ["job.done"], "descripton": "x", "description": 5}
    problem = assert_problem(await client.post("/api/v1/webhook-endpoints", json=body), 400, "invalid_request")
    told = {error["path"]: error["message"] for error in problem["errors"]}
    assert sorted(told) == ["$.description", "$.descripton", "$.events[0]", "$.url"]
    assert "WAYSTATION_WEBHOOK_ALLOW_NETWORKS" in told["$.url"]
    assert told["$.descripton"] == "unknown field; did you mean description?"
    assert told["$.description"] == "expected a string"
    assert told["$.events[0]"].startswith("expected one of 'job.completed'")
    for field in ("$.webhook_url", "header X-Webhook-Url"):
        native = field.startswith("$")
        answer = await (
            client.post(URL, json={"model": "sim-instant", "input": {}, "webhook_url": "http://192.168.0.1/"})
            if native
            else client.post("/v2/sim-instant", json={}, headers={"X-Webhook-Url": "http://192.168.0.1/"})
        )
        [error] = answer.json()["errors"]
        assert error["path"] == field
        assert "WAYSTATION_WEBHOOK_ALLOW_NETWORKS" in error["message"]


@pytest.mark.parametrize("url", ["https://10.0.0.1/x", "http://8.8.8.8/x", "http://cdn.test/x"])
def test_a_guard_names_the_setting_that_would_open_the_address(url: str) -> None:
    with pytest.raises(UrlRefused, match=OUTPUT_NETWORKS):
        Guard(setting=OUTPUT_NETWORKS).check(parse_url(url))


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["prompt", "size"],
    "additionalProperties": False,
    "properties": {
        "prompt": {"type": "string", "minLength": 3, "examples": ["a red fox"]},
        "size": {"$ref": "#/$defs/size"},
        "steps": {"type": "integer", "minimum": 1, "maximum": 50, "default": 20},
        "ratio": {"type": ["string", "null"]},
        "mode": {"enum": ["fast", "good"]},
        "seed": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "stops": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "maxItems": 2},
        "name": {"type": "string", "pattern": "^a"},
        "lora": {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}},
    },
    "$defs": {"size": {"type": "integer"}},
}
TOLD: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "missing": ({}, [("$.prompt", 'is required: expected a string, such as "a red fox"'), ("$.size", "is required")]),
    "unknown": ({"promt": "abc"}, [("$.promt", "unknown parameter; did you mean prompt?")]),
    "type": ({"steps": "7"}, [("$.steps", "expected an integer, such as 20")]),
    "types": ({"ratio": 5}, [("$.ratio", 'expected a string or null, such as "text"')]),
    "type of a reference": ({"size": "x"}, [("$.size", "expected an integer")]),
    "least": ({"steps": 0}, [("$.steps", "expected at least 1")]),
    "most": ({"steps": 51}, [("$.steps", "expected at most 50")]),
    "length": ({"prompt": "ab"}, [("$.prompt", "expected at least 3 characters")]),
    "one of": ({"mode": "best"}, [("$.mode", 'expected one of "fast", "good"')]),
    "alternatives": ({"seed": "x"}, [("$.seed", "expected an integer or null")]),
    "items": ({"stops": [1, 0, 2]}, [("$.stops", "expected at most 2 items"), ("$.stops[1]", "expected more than 0")]),
    "pattern": ({"name": "b"}, [("$.name", "expected text that matches ^a")]),
    "nested": ({"lora": {}}, [("$.lora.url", 'is required: expected a string, such as "text"')]),
}


@pytest.mark.parametrize("name", TOLD)
def test_a_schema_speaks_plainly(name: str) -> None:
    given, expected = TOLD[name]
    parameters = given if name == "missing" else {"prompt": "abc", "size": 1, **given}
    found = problems_of(validator_of(SCHEMA), SCHEMA, parameters, "$")
    for path, message in expected:
        [told] = [one.message for one in found if one.path == path]
        assert told.startswith(message)
    assert len(found) == len(expected)
