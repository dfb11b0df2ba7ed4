"""A storm of clients that hang up in the middle of everything: nothing leaks, and the next ones are served as if nothing
had been."""

import asyncio
import os
import re

import httpx
import pytest

from app.main import READERS_MAX, WRITERS_MAX
from tests.chaos.aborts import Aborter
from tests.chaos.form import Form
from tests.chaos.load import Load, Submit
from tests.chaos.prove import prove, settled
from tests.chaos.stack import Stack, until_async

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_CONNECTIONS = "SELECT coalesce(state, '') AS state FROM pg_stat_activity WHERE application_name = 'waystation-api'"
_BROKEN = re.compile(r'"event": "(?:request\.broken|pump\.failed)"|Traceback')
SPARE_FDS = 8
"""What a process may have open beside its sockets to Postgres, more than at the beginning."""


def open_fds(pids: list[int]) -> int:
    """How many descriptors these processes have open together."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def broken(stack: Stack) -> int:
    """How often an API process said that something went wrong in it."""
    return sum(len(_BROKEN.findall(stack.log(f"api-{number}"))) for number in range(stack.plan.apis))


async def test_aborted_clients_leave_nothing_behind(victim: Stack, load: Load, form: Form) -> None:
    await load.submit_many(20)
    await settled(victim)
    pids, fds, complaints = victim.pids("api"), open_fds(victim.pids("api")), broken(victim)
    aborter = Aborter(victim, load, chance=form.chance())
    await aborter.abort_many(form.pick(600, 5000))
    await assert_calm(victim, pids=pids, fds_max=fds + len(pids) * (WRITERS_MAX + READERS_MAX + SPARE_FDS))
    right = await assert_served(victim, load, form.pick(100, 500))
    assert victim.pids("api") == pids, "the same processes as before"
    assert broken(victim) == complaints
    figures = await prove(victim, load)
    acknowledged = sum(submit.told == "acknowledged" for submit in load.submits)
    assert set(figures["states"]) <= {"completed", "canceled"}
    print(
        f"{aborter.cut.total()} aborted ({dict(aborter.cut)}), {acknowledged} acknowledged and none missing,"
        f" 0 connections in a transaction, the next {right} requests right"
    )


async def assert_calm(stack: Stack, *, pids: list[int], fds_max: int) -> None:
    """Before long no connection is at work, none sits in a transaction, and no socket of a client is left."""
    found: list[str] = []

    async def calm() -> bool:
        found[:] = [row["state"] for row in await stack.fetch(_CONNECTIONS)]
        assert not any(state.startswith("idle in transaction (aborted)") for state in found), found
        return set(found) <= {"idle"} and open_fds(pids) <= fds_max

    await until_async(calm, f"every connection is idle ({found}), and at most {fds_max} descriptors are open")
    assert len(found) <= len(pids) * (WRITERS_MAX + READERS_MAX)


async def assert_served(stack: Stack, load: Load, count: int) -> int:
    """So many submits and as many reads, each right at the first try; how many requests that were."""
    gate = asyncio.Semaphore(32)
    async with httpx.AsyncClient(base_url=stack.url, headers={"x-api-key": stack.api_key}, timeout=30) as client:

        async def submit() -> Submit:
            async with gate:
                return await load.submit(keyed=False)

        async def read(submit: Submit) -> None:
            async with gate:
                answer = await client.get(f"/api/v1/jobs/{submit.request_id}", params={"wait": "30"})
            told = answer.json()
            assert (answer.status_code, told["status"], told["id"]) == (200, "COMPLETED", submit.request_id), told
            assert told["input"]["echo"]["marker"] == submit.marker, told

        submits = await asyncio.gather(*(submit() for _ in range(count)))
        assert all(one.statuses == [200] for one in submits)
        await asyncio.gather(*map(read, submits))
    return 2 * count
