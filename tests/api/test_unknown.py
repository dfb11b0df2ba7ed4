"""Unknown submissions on the native surface: what is wanted for them, and what became of them."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.api.jobs.bodies import OUTPUT_BYTES_MAX
from tests.api.conftest import PARKED, assert_problem
from tests.gateway import Gateway, TenantKey, ended
from tests.unknown import fail_with_late_result, recover, withdraw

URL = "/api/v1/jobs"


async def wishes(stack: Gateway, tenant: TenantKey) -> list[str]:
    sql = "SELECT on_unknown FROM jobs WHERE tenant_id = $1 ORDER BY created_at, id"
    return [row["on_unknown"] for row in await stack.sql(sql, tenant.id)]


async def completed(client: httpx.AsyncClient) -> dict[str, Any]:
    body = {"model": "sim-echo", "input": {"echo": 7}}
    answer = await client.post(URL, json=body, headers={"prefer": "wait=30", "idempotency-key": "once"})
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    assert job["output"] == 7
    return job


async def test_the_wish_is_stored_with_the_job(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    body = {"model": "sim-instant", "input": {}, "not_before": PARKED}
    for asked in ({}, {"on_unknown": None}, {"on_unknown": "hold"}, {"on_unknown": "resubmit"}):
        answer = await client.post(URL, json=body | asked)
        assert answer.status_code == 202, answer.text
    assert (await client.post("/v2/sim-instant", json={"on_unknown": "resubmit"})).status_code == 200
    assert await wishes(stack, tenant) == ["hold", "hold", "hold", "resubmit", "hold"]
    assert (await client.post(f"{URL}/quote", json=body | {"on_unknown": "resubmit"})).status_code == 200


@pytest.mark.parametrize("wish", ["Resubmit", "", "retry", 1, True, [], ["hold"], {}])
async def test_a_wish_that_is_none(client: httpx.AsyncClient, wish: Any) -> None:
    for path in (URL, f"{URL}/quote"):
        answer = await client.post(path, json={"model": "sim-instant", "input": {}, "on_unknown": wish})
        [error] = assert_problem(answer, 400, "invalid_request")["errors"]
        assert error == {"path": "$.on_unknown", "message": 'expected "hold" or "resubmit"'}


async def test_a_replay_with_another_wish_is_the_same_job(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey
) -> None:
    body = {"model": "sim-instant", "input": {}, "not_before": PARKED, "on_unknown": "resubmit"}
    headers = {"idempotency-key": "wish"}
    first = await client.post(URL, json=body, headers=headers)
    again = await client.post(URL, json=body | {"on_unknown": "hold"}, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert await wishes(stack, tenant) == ["resubmit"]


async def test_a_recovered_result_is_marked(stack: Gateway, client: httpx.AsyncClient) -> None:
    job = await completed(client)
    assert job["recovered"] is False
    await recover(stack, job["id"])
    shown = (await client.get(f"{URL}/{job['id']}")).json()
    assert (shown["recovered"], shown["late_result"], shown["output"]) == (True, False, 7)
    [item] = (await client.get(URL)).json()["items"]
    assert item["recovered"] is True
    [event] = (await client.get("/api/v1/events")).json()["items"]
    assert (event["data"]["recovered"], event["data"]["output"]) == (True, 7)


async def test_a_late_result_is_the_output_of_a_failed_job(stack: Gateway, client: httpx.AsyncClient) -> None:
    job = await completed(client)
    await fail_with_late_result(stack, job["id"], b'{"status":"COMPLETED","output":["https://u.example/1.png",1e400]}')
    shown = await client.get(f"{URL}/{job['id']}")
    failed = shown.json()
    assert (failed["status"], failed["error"]["code"], failed["late_result"]) == ("FAILED", "submission_unknown", True)
    assert failed["credits"]["charged"] == "0.000000"
    assert b'"output":["https://u.example/1.png",1e400]' in shown.content
    assert (await client.get(URL)).json()["items"][0]["late_result"] is True
    [event] = (await client.get("/api/v1/events")).json()["items"]
    assert (event["data"]["status"], event["data"]["output"]) == ("FAILED", None)


async def test_a_large_late_result_is_not_linked(stack: Gateway, client: httpx.AsyncClient) -> None:
    """No URL would return it: those of the upstream's own surface return the failure."""
    job = await completed(client)
    large = "x" * (OUTPUT_BYTES_MAX + 1)
    await fail_with_late_result(stack, job["id"], json.dumps({"status": "COMPLETED", "output": large}).encode())
    assert (await client.get(f"{URL}/{job['id']}")).json()["output"] == large


async def test_a_failed_job_without_a_late_result_has_no_output(stack: Gateway, client: httpx.AsyncClient) -> None:
    job = await completed(client)
    await fail_with_late_result(stack, job["id"], None)
    await stack.sql(
        "UPDATE job_results SET body = $2 WHERE job_id = $1",
        UUID(job["id"].removeprefix("job_")),
        b'{"status":"FAILED","output":"not a result"}',
    )
    shown = await ended(client, job["id"])
    assert (shown["output"], shown["late_result"], shown["recovered"]) == (None, False, False)


async def test_a_withdrawn_result_is_gone(stack: Gateway, client: httpx.AsyncClient) -> None:
    job = await completed(client)
    await withdraw(stack, job["id"])
    answer = await client.get(f"{URL}/{job['id']}")
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["status"], shown["output"], shown["error"]) == ("COMPLETED", None, None)
    assert shown["credits"]["charged"] == "0.000000"
    again = await client.post(
        URL, json={"model": "sim-echo", "input": {"echo": 7}}, headers={"idempotency-key": "once"}
    )
    assert (again.status_code, again.json()["output"]) == (200, None)
    [event] = (await client.get("/api/v1/events")).json()["items"]
    assert (event["type"], event["data"]["output"]) == ("job.completed", None)
