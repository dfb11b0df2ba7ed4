"""`eta` and `position` of jobs, from submit to end."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from app.core import clock
from tests.api.conftest import PARKED, Job, NewJob
from tests.gateway import Gateway, TenantKey, ended, eventually

URL = "/api/v1/jobs"


async def shown(client: httpx.AsyncClient, job: Job) -> Job:
    found: Job = (await client.get(f"{URL}/{job['id']}")).json()
    return found


def instants(eta: dict[str, Any]) -> tuple[datetime, datetime]:
    p50, p90 = (datetime.fromisoformat(eta[name]) for name in ("p50", "p90"))
    assert all(eta[name].endswith("Z") for name in ("p50", "p90"))
    return p50, p90


@pytest.fixture(scope="module")
async def slow(stack: Gateway) -> str:
    """A model of which only the published mean is known, 1,000 seconds. Dearer than what the simulator charges: two jobs that
    cost ten times their hold would switch it off."""
    await stack.sql("INSERT INTO models (slug, run_seconds, price_micro) VALUES ('slow-eta', 1000, 100000)")
    return "slow-eta"


@pytest.fixture
async def crowded(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey, new_job: NewJob) -> AsyncIterator[Job]:
    """A job in flight that never ends, at a tenant that may have no other."""
    await stack.sql("UPDATE tenants SET max_in_flight = 1 WHERE id = $1", tenant.id)
    job = await new_job("sim-hang", parked=False)

    async def processing() -> bool:
        return bool((await shown(client, job))["status"] == "PROCESSING")

    await eventually(processing)
    yield job
    await stack.sql("UPDATE tenants SET max_in_flight = 100 WHERE id = $1", tenant.id)


async def test_in_line_by_place_and_priority(
    client: httpx.AsyncClient, crowded: Job, new_job: NewJob, slow: str
) -> None:
    assert (await shown(client, crowded))["eta"] is None, "nobody knows how long it takes"
    line = [await new_job(slow, parked=False) for _ in range(3)]
    urgent = await new_job(slow, parked=False, priority=6)
    parked = await new_job(slow)

    async def in_order() -> bool:  # a position may be a second old
        return [(await shown(client, job))["position"] for job in (urgent, *line, parked)] == [1, 2, 3, 4, None]

    await eventually(in_order)
    page = (await client.get(URL)).json()["items"]
    assert {one["id"]: one["position"] for one in page} == {
        crowded["id"]: None, urgent["id"]: 1, line[0]["id"]: 2, line[1]["id"]: 3, line[2]["id"]: 4, parked["id"]: None,
    }  # fmt: skip
    now = clock.now()
    ends = [instants((await shown(client, job))["eta"]) for job in (urgent, *line)]
    assert all(now < p50 <= p90 for p50, p90 in ends)
    assert ends == sorted(ends)
    assert (ends[-1][0] - ends[0][0]).total_seconds() > 1_000
    assert instants((await shown(client, parked))["eta"])[0] > datetime.fromisoformat(PARKED)


async def test_a_submit_is_told_what_is_known(
    client: httpx.AsyncClient, crowded: Job, new_job: NewJob, slow: str
) -> None:
    first = await new_job(slow, parked=False)

    async def told() -> bool:
        known = await shown(client, first)
        job = await new_job(slow, parked=False)
        return bool(known["eta"]) and bool(job["eta"]) and job["position"] >= 2

    await eventually(told)
    assert (await shown(client, crowded))["position"] is None


async def test_in_flight_and_ended(client: httpx.AsyncClient, new_job: NewJob, slow: str) -> None:
    job = await new_job(slow, parked=False)

    async def processing() -> Job | None:
        found = await shown(client, job)
        return found if found["status"] == "PROCESSING" else None

    running = await eventually(processing)
    p50, p90 = instants(running["eta"])
    assert clock.now() < p50 < p90
    assert running["position"] is None
    final = await ended(client, job["id"])
    assert (final["eta"], final["position"]) == (None, None)


async def test_what_is_paused_has_no_end_in_sight(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey, new_job: NewJob, slow: str
) -> None:
    await stack.sql("INSERT INTO pauses (tenant_id, what, paused_by) VALUES ($1, 'submits', 'on-call')", tenant.id)
    job = await new_job(slow, parked=False)

    async def aside() -> bool:
        found = await shown(client, job)
        return (found["status"], found["eta"]) == ("QUEUED", None)

    await eventually(aside)
    await stack.sql("DELETE FROM pauses WHERE tenant_id = $1", tenant.id)
    assert (await client.post(f"{URL}/{job['id']}/cancel")).json()["eta"] is None
