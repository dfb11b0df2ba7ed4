"""Money while everything dies: no more is accepted than can be paid for, and the books are the upstream's."""

import asyncio
import contextlib

import httpx
import pytest

from tests.chaos.form import Form, now_and_then
from tests.chaos.load import Load
from tests.chaos.prove import prove
from tests.chaos.stack import Stack
from tests.gateway import LATER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

PRICE = 100_000


async def _granted(stack: Stack, jobs: int) -> str:
    """A new tenant's key, with credits for so many jobs."""
    headers = {"authorization": f"Bearer {stack.ready['admin_key']}"}
    async with httpx.AsyncClient(base_url=f"{stack.url}/admin/v1", headers=headers, timeout=30) as client:
        name = f"poor-{len((await client.get('/tenants', params={'limit': 200})).json()['items'])}"
        assert (await client.post("/tenants", json={"name": name})).status_code == 201
        credits = {"amount": f"{jobs * PRICE / 1e6:.6f}", "reference": "all there is"}
        assert (await client.post(f"/tenants/{name}/credits", json=credits)).status_code == 201
        answer = await client.post(f"/tenants/{name}/keys", json={"name": "chaos"})
        return str(answer.json()["key"])


async def test_no_more_is_accepted_than_can_be_paid_for_while_apis_are_killed(victim: Stack, form: Form) -> None:
    """A thousand submits for credit for a hundred jobs, all with keys, repeated until they are answered for good."""
    jobs, asking = form.pick((20, 200), (100, 1_000))
    key = await _granted(victim, jobs)
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=0)
    statuses: list[int] = []

    async with httpx.AsyncClient(base_url=victim.url, headers={"x-api-key": key}, timeout=30, limits=limits) as client:

        async def ask(number: int) -> None:
            # nothing settles: they wait for a time that does not come
            body = {"model": "sim-echo", "input": {"echo": {"marker": f"poor-{key[-8:]}-{number}"}},
                    "not_before": LATER}  # fmt: skip
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await client.post("/api/v1/jobs", json=body, headers={"idempotency-key": f"k{number}"})
                    if answer.status_code != 503:
                        statuses.append(answer.status_code)
                        return
                await asyncio.sleep(0.05)

        flow = asyncio.gather(*(ask(number) for number in range(asking)))
        chance = form.chance()
        async for _ in now_and_then(chance, seconds=form.pick(3, 20), least=0.1, most=0.8):
            victim.kill("api", chance=chance)
            if flow.done():
                break
        await flow
        accepted = sum(status in (200, 202) for status in statuses)
        assert (accepted, statuses.count(402)) == (jobs, asking - jobs)
        [row] = await victim.fetch(
            "SELECT count(*) AS jobs, sum(held_micro)::bigint AS held FROM jobs WHERE idempotency_key LIKE 'k%'"
            " AND tenant_id = (SELECT tenant_id FROM transfers WHERE kind = 'grant' AND reference = 'all there is'"
            " ORDER BY created_at DESC LIMIT 1)"
        )  # fmt: skip
        assert (row["jobs"], row["held"]) == (jobs, jobs * PRICE)
        ids = await victim.fetch("SELECT id FROM jobs WHERE state = 'queued' AND due_at > now() + interval '1 day'")
        answers = [await client.post(f"/api/v1/jobs/job_{row['id'].hex}/cancel") for row in ids]
    assert {answer.status_code for answer in answers} == {200}
    print(f"{asking} submits for credit for {jobs} jobs, {victim.killed.get('api', 0)} kills: {accepted} accepted")
    await prove(victim)


async def test_submitting_and_settling_for_the_same_tenant_never_deadlock(
    victim: Stack, load: Load, form: Form
) -> None:
    """Two APIs hold and two workers post, release and fail for one tenant's balance, as fast as they can."""
    before = (await victim.fetch("SELECT sum(deadlocks)::int AS deadlocks FROM pg_stat_database"))[0]["deadlocks"]
    await victim.faults({"match": "submit", "fault": "answer", "status": 422, "probability": 0.1})
    await load.run(seconds=form.pick(8, 600), per_second=form.pick(40, 60))
    await victim.faults()
    await prove(victim, load)
    after = (await victim.fetch("SELECT sum(deadlocks)::int AS deadlocks FROM pg_stat_database"))[0]["deadlocks"]
    print(f"{len(load.submits)} jobs of one tenant: {after - before} deadlocks")
    assert after == before
