"""A withdrawn result is 410 wherever it would be handed out; a late one leaves the failure as it is."""

import httpx
import pytest

from tests.gateway import Gateway, ended
from tests.segmind.conftest import Submit
from tests.unknown import fail_with_late_result, withdraw

GONE = {"error": "the result was withdrawn: it belonged to another request", "code": "result_withdrawn"}


async def completed(client: httpx.AsyncClient, submit: Submit) -> str:
    shown = await submit("sim-echo", b'{"echo":7}')
    assert (await ended(client, shown))["status"] == "COMPLETED"
    return shown


async def test_the_result_is_410_and_the_status_is_not(
    stack: Gateway, client: httpx.AsyncClient, submit: Submit
) -> None:
    shown = await completed(client, submit)
    await withdraw(stack, shown)
    for path in (f"/v2/requests/{shown}", f"/v1/requests/{shown}"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (410, GONE)
        assert answer.headers["content-type"] == "application/json"
    status = await client.get(f"/v2/requests/{shown}/status")
    assert status.status_code == 200
    assert (status.json()["status"], status.json()["metrics"]) == ("COMPLETED", {})


@pytest.mark.parametrize("model", ["sim-echo", "sim-instant"])
async def test_a_wait_for_it_is_410(stack: Gateway, client: httpx.AsyncClient, model: str) -> None:
    body, headers = {"echo": 7}, {"idempotency-key": "withdrawn"}
    first = await client.post(f"/v1/{model}", json=body, headers=headers)
    assert first.status_code == 200
    await withdraw(stack, first.headers["x-request-id"])
    again = await client.post(f"/v1/{model}", json=body, headers=headers)
    assert (again.status_code, again.json()) == (410, GONE)


async def test_another_tenants_withdrawn_result_is_404(
    stack: Gateway, client: httpx.AsyncClient, submit: Submit
) -> None:
    shown = await completed(client, submit)
    await withdraw(stack, shown)
    other = await stack.tenant()
    answer = await client.get(f"/v2/requests/{shown}", headers=other.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


async def test_a_late_result_leaves_the_failure_as_it_is(
    stack: Gateway, client: httpx.AsyncClient, submit: Submit
) -> None:
    shown = await completed(client, submit)
    paths = (f"/v2/requests/{shown}", f"/v1/requests/{shown}", f"/v2/requests/{shown}/status")
    await fail_with_late_result(stack, shown, None)
    before = [(await client.get(path)).content for path in paths]
    await fail_with_late_result(stack, shown, b'{"status":"COMPLETED","output":"x","metrics":{"cost":1},"error":"no"}')
    for path, failed in zip(paths, before, strict=True):
        answer = await client.get(path)
        assert (answer.status_code, answer.content) == (422, failed)
        assert answer.json()["code"] == "submission_unknown"
    assert (await client.get(f"/api/v1/jobs/{shown}")).json()["output"] == "x"
