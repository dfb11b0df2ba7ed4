"""Instants in the past in a submit: the job begins at once, in its place in line, and can be read."""

import httpx
import pytest

from tests.gateway import Gateway, TenantKey

URL = "/api/v1/jobs"
JOB = {"model": "sim-instant", "input": {}}


@pytest.mark.parametrize("past", ["0001-01-01T00:00:00Z", "2000-01-01T00:00:00Z"])
async def test_an_instant_in_the_past_is_now(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey, past: str
) -> None:
    await stack.sql("INSERT INTO pauses (tenant_id, what, paused_by) VALUES ($1, 'submits', 'ann')", tenant.id)
    first = (await client.post(URL, json=JOB | {"priority": 9})).json()
    answer = await client.post(URL, json=JOB | {"not_before": past, "priority": 0})
    assert answer.status_code == 202, answer.text
    told = [await client.get(path) for path in (URL, f"{URL}/{answer.json()['id']}")]
    rows = await stack.sql("SELECT id FROM jobs WHERE tenant_id = $1 ORDER BY rank_at", tenant.id)
    assert ([one.status_code for one in told], rows[0]["id"].hex) == ([200, 200], first["id"].removeprefix("job_"))
