"""When a job may start: one that names an instant in the past begins at once, in its place in line; none waits for ever."""

from datetime import datetime, timedelta

import httpx
import pytest

from app.core import clock
from app.core.errors import Malformed
from app.jobs.submit.starting import checked_not_before
from tests.api.conftest import assert_problem
from tests.gateway import Gateway, TenantKey

URL = "/api/v1/jobs"
JOB = {"model": "sim-instant", "input": {}}


@pytest.mark.parametrize("past", ["0001-01-01T00:00:00Z", "2000-01-01T00:00:00Z"])
async def test_an_instant_in_the_past_is_now(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey, past: str
) -> None:
    await stack.sql("INSERT INTO pauses (tenant_id, what, paused_by) VALUES ($1, 'submits', 'on-call')", tenant.id)
    first = (await client.post(URL, json=JOB | {"priority": 9})).json()
    answer = await client.post(URL, json=JOB | {"not_before": past, "priority": 0})
    assert answer.status_code == 202, answer.text
    told = [await client.get(path) for path in (URL, f"{URL}/{answer.json()['id']}")]
    rows = await stack.sql("SELECT id FROM jobs WHERE tenant_id = $1 ORDER BY rank_at", tenant.id)
    assert ([one.status_code for one in told], rows[0]["id"].hex) == ([200, 200], first["id"].removeprefix("job_"))


def later(**ahead: float) -> str:
    return (clock.now() + timedelta(**ahead)).isoformat()


FAR = {
    "the end of the calendar": {"not_before": "9999-12-31T00:00:00Z"},
    "the last second": {"not_before": "9999-12-31T23:59:59.999999Z"},
    "a day too far": {"not_before": later(days=31)},
    "beyond its deadline": {"not_before": later(days=1), "deadline_seconds": 3600},
}


@pytest.mark.parametrize("name", FAR)
async def test_a_job_may_not_wait_for_ever(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey, name: str
) -> None:
    for path in (URL, f"{URL}/quote"):
        problem = assert_problem(await client.post(path, json=JOB | FAR[name]), 400, "invalid_request")
        [error] = problem["errors"]
        assert error["path"] == "$.not_before"
        example = error["message"].rpartition("such as ")[2]
        assert (await client.post(f"{URL}/quote", json=JOB | FAR[name] | {"not_before": example})).status_code == 200
    assert await stack.sql("SELECT FROM jobs WHERE tenant_id = $1", tenant.id) == []
    [kept] = await stack.sql("SELECT status_code, code FROM ops.requests WHERE tenant = $1", tenant.name)
    assert tuple(kept) == (400, "invalid_request")
    assert (await client.get("/api/v1/balance")).json()["held"] == "0.000000"


def test_a_job_must_be_due_before_its_deadline() -> None:
    now = clock.now()
    hour, month = timedelta(hours=1), timedelta(days=30)
    for not_before, deadline_seconds in ((None, 1.0), (now - month, 1e-6), (now + hour, 3600.1), (now + month, None)):
        assert checked_not_before(not_before, deadline_seconds=deadline_seconds, now=now) == not_before
    for too_late, deadline_seconds in ((now + hour, 3600.0), (now, 1e-9), (now + month + timedelta.resolution, None)):
        with pytest.raises(Malformed):
            checked_not_before(too_late, deadline_seconds=deadline_seconds, now=now)


@pytest.mark.parametrize(
    "fields",
    [
        {"not_before": later(days=29)},
        {"not_before": later(minutes=50), "deadline_seconds": 3600},
        {"not_before": "2000-01-01T00:00:00Z", "deadline_seconds": 0.001},
    ],
)
async def test_a_job_may_wait_for_a_while(client: httpx.AsyncClient, fields: dict[str, object]) -> None:
    for path, status in ((f"{URL}/quote", 200), (URL, 202)):
        answer = await client.post(path, json=JOB | fields)
        assert answer.status_code == status, answer.text


async def test_an_eta_begins_where_the_job_does(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    await stack.sql("UPDATE tenants SET max_in_flight = 1 WHERE id = $1", tenant.id)
    start = later(minutes=10)
    quote = (await client.post(f"{URL}/quote", json=JOB | {"not_before": start})).json()
    job = (await client.post(URL, json=JOB | {"not_before": start, "priority": 9})).json()
    shown = (await client.get(job["urls"]["self"])).json()
    [listed] = (await client.get(URL)).json()["items"]
    for eta in (quote["eta"], shown["eta"], listed["eta"]):
        assert datetime.fromisoformat(start) <= datetime.fromisoformat(eta["p50"]) <= datetime.fromisoformat(eta["p90"])
    assert quote["binding"] == "not_before"
    assert 590 < quote["wait_seconds"]["p50"] <= quote["wait_seconds"]["p90"]
    # one that was accepted before there was a limit
    await stack.sql("UPDATE jobs SET due_at = '9999-12-31T23:59:00Z', rank_at = due_at WHERE tenant_id = $1", tenant.id)
    assert (await client.get(job["urls"]["self"])).json()["eta"] is None, (
        "no instant of the calendar is after its start"
    )
