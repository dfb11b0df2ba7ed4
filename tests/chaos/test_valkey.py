"""Valkey killed, emptied every second, and stopped: nothing is lost, and work goes on without it."""

import asyncio
import os
import signal
from uuid import UUID

import pytest
from redis.asyncio import Redis

from tests.chaos.form import Form, now_and_then
from tests.chaos.load import Load, Submit
from tests.chaos.prove import prove, settled
from tests.chaos.stack import Stack, until
from tests.stopwatch import Stopwatch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


async def test_valkey_may_go_at_any_moment(victim: Stack, load: Load, form: Form) -> None:
    chance = form.chance()
    killed_seconds, emptied_seconds, away_seconds = form.pick((4, 4, 4), (30, 60, 60))
    flow = asyncio.create_task(load.run(seconds=killed_seconds + emptied_seconds + away_seconds, per_second=20))
    async for _ in now_and_then(chance, seconds=killed_seconds, least=0.5, most=1.5):
        victim.kill("redis", chance=chance)
    await _emptied_every_second(victim, seconds=emptied_seconds)
    await _stopped(victim, load, seconds=away_seconds)
    await flow
    figures = await prove(victim, load)
    assert set(figures["states"]) == {"completed"}
    assert {status for submit in load.submits for status in submit.statuses} == {200}
    print(
        f"{victim.killed['redis']} kills, {emptied_seconds} times emptied, {away_seconds} s away: {len(load.submits)} jobs"
        " accepted and completed, 0 refused"
    )


async def _emptied_every_second(stack: Stack, *, seconds: int) -> None:
    await stack.replaced("redis")
    async with Redis.from_url(stack.ready["redis_url"]) as redis:
        for _ in range(seconds):
            await redis.flushall()
            await asyncio.sleep(1)


async def _stopped(stack: Stack, load: Load, *, seconds: float) -> None:
    """Work goes on meanwhile, and a worker that is told to stop does not wait for it."""
    [valkey] = stack.pids("redis")
    stack.pause_pid(valkey)
    began_with = await load.submit_many(10)
    worker = stack.pids("worker")[0]
    os.kill(worker, signal.SIGTERM)
    await until(lambda: worker not in stack.pids("worker"), "a worker ends while Valkey is stopped")
    await asyncio.sleep(seconds)
    assert await _completed(stack, began_with) == {"completed": 10}
    stack.resume_pid(valkey)


async def _completed(stack: Stack, submits: list[Submit]) -> dict[str, int]:
    ids = [UUID((submit.request_id or "").removeprefix("job_")) for submit in submits]
    rows = await stack.fetch("SELECT state, count(*) AS n FROM jobs WHERE id = ANY($1::uuid[]) GROUP BY 1", ids)
    return {row["state"]: row["n"] for row in rows}


async def test_an_idle_stack_without_valkey_takes_up_work_at_once(victim: Stack, load: Load, form: Form) -> None:
    """Without rings there is only the sweep, which looks rarely at an idle database."""
    await load.submit_many(1)
    await prove(victim, load)
    [valkey] = victim.pids("redis")
    victim.pause_pid(valkey)
    await asyncio.sleep(form.pick(8, 30))
    watch = Stopwatch()
    await load.submit_many(1)
    seconds = await settled(victim)
    print(f"done {seconds:.2f} s after the submit")
    assert watch.own_seconds < 4
    victim.resume_pid(valkey)
    await prove(victim, load)
