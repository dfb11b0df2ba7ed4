"""Credit for exactly a hundred jobs, and ten times as many who want one, over two API processes at once."""

import asyncio

import httpx
import pytest

from app.core.credits import parse_credits
from app.ops.verify import INVARIANTS
from tests.gateway import Gateway

MODEL = "sim-instant"
PRICE = 100_000
JOBS, ASKING = 100, 1_000


async def _sampled(stack: Gateway, tenant_id: object, done: asyncio.Event) -> list[int]:
    """What was available, as often as one can look."""
    seen = []
    while not done.is_set():
        [row] = await stack.sql("SELECT granted - posted - held AS left FROM balances WHERE tenant_id = $1", tenant_id)
        seen.append(row["left"])
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("surface", ["segmind", "native"])
async def test_exactly_as_many_as_can_be_paid_for(stack: Gateway, surface: str) -> None:
    tenant = await stack.tenant(credits_micro=JOBS * PRICE)
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=stack.url, headers=tenant.headers, timeout=300, limits=limits) as client:
        # nothing settles meanwhile
        await stack.sql("INSERT INTO pauses (tenant_id, what, paused_by) VALUES ($1, 'all', 'test')", tenant.id)  # fmt: skip

        async def ask(number: int) -> httpx.Response:
            if surface == "native":
                return await client.post("/api/v1/jobs", json={"model": MODEL, "input": {"seed": number}})
            return await client.post(f"/v2/{MODEL}", json={"seed": number})

        done = asyncio.Event()
        watching = asyncio.create_task(_sampled(stack, tenant.id, done))
        answers = await asyncio.gather(*(ask(number) for number in range(ASKING)))
        done.set()
        seen = await watching
    accepted = 202 if surface == "native" else 200
    refused = 402 if surface == "native" else 406
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(accepted), statuses.count(refused)) == (JOBS, ASKING - JOBS)
    assert min(seen) >= 0
    [row] = await stack.sql("SELECT granted, posted, held FROM balances WHERE tenant_id = $1", tenant.id)
    assert tuple(row) == (JOBS * PRICE, 0, JOBS * PRICE)
    [row] = await stack.sql("SELECT count(*) AS jobs, sum(held_micro)::bigint AS held FROM jobs WHERE tenant_id = $1",
                            tenant.id)  # fmt: skip
    assert (row["jobs"], row["held"]) == (JOBS, JOBS * PRICE)
    body = next(answer.json() for answer in answers if answer.status_code == refused)
    assert body["code"] == "insufficient_credits"
    assert (parse_credits(body["required"]), parse_credits(body["available"])) == (PRICE, 0)
    [row] = await stack.sql("SELECT sum(count)::int AS refused FROM refusals WHERE tenant_id = $1 AND status_code = $2",
                            tenant.id, refused)  # fmt: skip
    assert row["refused"] == ASKING - JOBS
    wrong = {
        one.name: (await stack.sql(one.query.text, *one.arguments()))[0]["wrong"]
        for one in INVARIANTS if one.guarantee in (3, 4)
    }  # fmt: skip
    assert set(wrong.values()) == {0}, wrong
