"""Cancel in every state: at once while queued, asked for while the upstream may be at work, 409 when finished."""

import asyncio

import asyncpg
import httpx
import pytest

from app.main import WRITERS_MAX
from tests.api.conftest import NewJob, assert_problem
from tests.gateway import LATER, Gateway, TenantKey, ended, eventually

URL = "/api/v1/jobs"


async def state_is(stack: Gateway, job_id: str, *states: str) -> bool:
    sql = "SELECT FROM jobs WHERE id = $1::text::uuid AND state = ANY($2)"
    return bool(await stack.sql(sql, job_id[4:], list(states)))


async def events_of(stack: Gateway, job_id: str) -> list[tuple[str, str, str]]:
    sql = "SELECT from_status, to_status, reason FROM ops.job_events WHERE job_id = $1::text::uuid ORDER BY seq"
    return [tuple(row) for row in await stack.sql(sql, job_id[4:])]  # type: ignore[misc]


async def test_queued_is_canceled_at_once(stack: Gateway, client: httpx.AsyncClient, new_job: NewJob) -> None:
    job = await new_job()
    answer = await client.post(f"{URL}/{job['id']}/cancel")
    assert answer.status_code == 200
    canceled = answer.json()
    assert canceled["status"] == "CANCELED"
    assert canceled["cancel_requested_at"] == canceled["finished_at"]
    assert canceled["output"] is canceled["error"] is None
    assert "nothing is charged" in canceled.pop("notice")
    assert canceled["credits"] == {"hold": "0.100000", "held": "0.000000", "charged": "0.000000"}
    assert await events_of(stack, job["id"]) == [
        (None, "QUEUED", "submitted"),
        ("QUEUED", "CANCELED", "cancel_requested"),
    ]
    assert_problem(await client.post(f"{URL}/{job['id']}/cancel"), 409, "job_finished")
    assert (await client.get(f"{URL}/{job['id']}")).json() == canceled


async def test_claimed_is_still_queued(stack: Gateway, client: httpx.AsyncClient, new_job: NewJob) -> None:
    job = await new_job()
    await stack.sql(
        "WITH claimed AS (UPDATE jobs SET ready = true, owner = gen_random_uuid(), lease_until = now() + interval '15 s',"
        " fence = fence + 1 WHERE id = $1::text::uuid RETURNING tenant_id) UPDATE queues SET"
        " ready = ready + 1, claimed = claimed + 1 FROM claimed WHERE subject_id = claimed.tenant_id",
        job["id"][4:],
    )
    answer = await client.post(f"{URL}/{job['id']}/cancel")
    assert answer.status_code == 200
    assert answer.json()["status"] == "CANCELED"
    assert await stack.sql("SELECT FROM ops.attempts WHERE job_id = $1::text::uuid", job["id"][4:]) == []


@pytest.mark.parametrize(
    "fault", [{"fault": "delay", "seconds": 1}, {"fault": "delay", "seconds": 1, "when": "before"}]
)
async def test_sending_is_asked_for_and_ends_canceled(
    stack: Gateway, client: httpx.AsyncClient, new_job: NewJob, fault: dict[str, object]
) -> None:
    async with stack.faults({"match": "submit", "slug": "sim-instant", **fault}):
        job = await new_job("sim-instant", parked=False)
        await eventually(lambda: state_is(stack, job["id"], "sending"))
        answer = await client.post(f"{URL}/{job['id']}/cancel")
        await assert_asked_for(client, answer)
        final = await ended(client, job["id"])
    await assert_without_result(client, final)


async def assert_asked_for(client: httpx.AsyncClient, answer: httpx.Response) -> None:
    assert answer.status_code == 202
    assert answer.json()["status"] == "PROCESSING"
    assert answer.json()["cancel_requested_at"]
    assert "its true cost is charged" in answer.json()["notice"]
    assert answer.json()["credits"] == {"hold": "0.100000", "held": "0.100000", "charged": "0.000000"}
    again = await client.post(answer.json()["urls"]["cancel"])
    assert again.status_code == 202
    assert again.json()["cancel_requested_at"] == answer.json()["cancel_requested_at"]


async def assert_without_result(client: httpx.AsyncClient, job: dict[str, object]) -> None:
    assert job["status"] == "CANCELED"
    assert job["output"] is job["error"] is None
    assert job["finished_at"]
    result = await client.get(f"/v2/requests/{job['id']}")
    assert result.status_code == 422
    assert result.json()["code"] == "canceled"
    assert "output" not in result.json()
    assert_problem(await client.post(f"{URL}/{job['id']}/cancel"), 409, "job_finished")


async def test_running_ends_canceled_without_result(stack: Gateway, client: httpx.AsyncClient, new_job: NewJob) -> None:
    processing = {"match": "status", "slug": "sim-echo", "fault": "state", "state": "PROCESSING"}
    async with stack.faults(processing):
        job = await new_job("sim-echo", parked=False, input={"echo": "not to be seen"})
        await eventually(lambda: state_is(stack, job["id"], "running"))
        await assert_asked_for(client, await client.post(f"{URL}/{job['id']}/cancel"))
    final = await ended(client, job["id"])
    await assert_without_result(client, final)
    assert (final["credits"]["hold"], final["credits"]["held"]) == ("0.100000", "0.000000")
    assert 0.009 < float(final["credits"]["charged"]) < 0.011, "it ran, and its true cost is charged"
    assert "notice" not in final
    stored = await stack.sql("SELECT FROM job_results WHERE job_id = $1::text::uuid", job["id"][4:])
    assert stored == []
    assert [to for _, to, _ in await events_of(stack, job["id"])][-1] == "CANCELED"


async def test_running_that_fails_ends_canceled(stack: Gateway, client: httpx.AsyncClient, new_job: NewJob) -> None:
    async with stack.faults({"match": "status", "slug": "sim-fail", "fault": "state", "state": "PROCESSING"}):
        job = await new_job("sim-fail", parked=False)
        await eventually(lambda: state_is(stack, job["id"], "running"))
        assert (await client.post(f"{URL}/{job['id']}/cancel")).status_code == 202
    await assert_without_result(client, await ended(client, job["id"]))


async def test_throttled_meanwhile_ends_canceled(stack: Gateway, client: httpx.AsyncClient, new_job: NewJob) -> None:
    slow_no = {"match": "submit", "slug": "sim-video", "fault": "delay", "seconds": 1, "when": "before", "count": 1}
    async with stack.faults(slow_no):
        await stack.sql("SELECT 1")
        job = await new_job("sim-video", parked=False)
        await eventually(lambda: state_is(stack, job["id"], "sending"))
        answers = await asyncio.gather(*(client.post(f"{URL}/{job['id']}/cancel") for _ in range(5)))
        assert {answer.status_code for answer in answers} == {202}
        await assert_without_result(client, await ended(client, job["id"]))
    reasons = [reason for _, _, reason in await events_of(stack, job["id"])]
    assert reasons.count("cancel_requested") == 1


async def test_unknown_keeps_its_hold_until_it_is_known(
    stack: Gateway, client: httpx.AsyncClient, new_job: NewJob
) -> None:
    async with stack.faults({"match": "submit", "slug": "sim-images", "fault": "lose_answer"}):
        job = await new_job("sim-images", parked=False)
        await eventually(lambda: state_is(stack, job["id"], "unknown"))
        await assert_asked_for(client, await client.post(f"{URL}/{job['id']}/cancel"))
    assert (await client.get(f"{URL}/{job['id']}")).json()["status"] == "PROCESSING"


@pytest.mark.parametrize("model", ["sim-instant", "sim-fail"])
async def test_finished_is_409(client: httpx.AsyncClient, new_job: NewJob, model: str) -> None:
    job = await ended(client, (await new_job(model, parked=False))["id"])
    assert_problem(await client.post(f"{URL}/{job['id']}/cancel"), 409, "job_finished")
    assert (await client.get(f"{URL}/{job['id']}")).json() == job


async def test_a_cancel_and_a_dispatch_at_once_never_lose_a_job(client: httpx.AsyncClient, new_job: NewJob) -> None:
    async def one() -> str:
        job = await new_job("sim-instant", parked=False)
        answer = await client.post(f"{URL}/{job['id']}/cancel")
        assert answer.status_code in (200, 202, 409)
        final = await ended(client, job["id"])
        assert final["status"] == "COMPLETED" if answer.status_code == 409 else final["status"] == "CANCELED"
        return str(final["status"])

    assert "CANCELED" in await asyncio.gather(*(one() for _ in range(20)))


async def test_cancels_of_a_locked_tenant_do_not_use_up_the_connections(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey, new_job: NewJob
) -> None:
    jobs = [await new_job() for _ in range(2 * WRITERS_MAX)]
    other = await stack.tenant()
    owner = await asyncpg.connect(stack.database_url)
    try:
        async with owner.transaction(), httpx.AsyncClient(base_url=stack.url, timeout=60) as others:
            await owner.execute("SELECT FROM queues WHERE tenant_id = $1 FOR UPDATE", tenant.id)
            cancels = [asyncio.create_task(client.post(f"{URL}/{job['id']}/cancel")) for job in jobs]
            waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            await eventually(lambda: stack.sql(waiting))
            async with asyncio.timeout(2.5):  # whoever finds no connection is refused after three seconds
                body = {"model": "sim-instant", "input": {}, "not_before": LATER}
                answer = await others.post(URL, json=body, headers={"x-api-key": other.key})
            assert answer.status_code == 202
            assert not any(one.done() for one in cancels)
        assert {(await one).status_code for one in cancels} == {200}
    finally:
        await owner.close()
