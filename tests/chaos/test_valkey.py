"""Valkey killed, emptied every second, and stopped: nothing is lost, and work goes on without it."""

import asyncio
import contextlib
import os
import signal

import pytest
from redis.asyncio import Redis

from tests.chaos.form import Form, now_and_then
from tests.chaos.load import Load
from tests.chaos.prove import prove, settled
from tests.chaos.stack import Plan, Stack, running, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


async def test_valkey_may_go_at_any_moment(form: Form) -> None:
    chance = form.chance()
    seconds = form.pick(4, 60)
    async with running(Plan()) as stack, contextlib.aclosing(Load(stack, seed=form.seed)) as load:
        flow = asyncio.create_task(load.run(seconds=3 * seconds, per_second=20))
        async for _ in now_and_then(chance, seconds=seconds, least=0.5, most=1.5):
            stack.kill("redis", chance=chance)
        await _emptied_every_second(stack, seconds=seconds)
        await _stopped(stack, load, seconds=min(seconds, 5))
        await flow
        figures = await prove(stack, load)
        assert set(figures["states"]) == {"completed"}
        assert {status for submit in load.submits for status in submit.statuses} == {200}


async def _emptied_every_second(stack: Stack, *, seconds: float) -> None:
    await stack.replaced("redis")
    async with Redis.from_url(stack.ready["redis_url"]) as redis:
        for _ in range(int(seconds)):
            await redis.flushall()
            await asyncio.sleep(1)


async def _stopped(stack: Stack, load: Load, *, seconds: float) -> None:
    """Work goes on meanwhile, and a worker that is told to stop does not wait for it."""
    [valkey] = stack.pids("redis")
    stack.pause_pid(valkey)
    await load.submit_many(10)
    worker = stack.pids("worker")[0]
    os.kill(worker, signal.SIGTERM)
    await until(lambda: worker not in stack.pids("worker"), "a worker ends while Valkey is stopped", 10)
    await asyncio.sleep(seconds)
    done = await stack.fetch("SELECT count(*) FROM jobs WHERE state = 'completed'")
    assert done[0][0] >= 10
    stack.resume_pid(valkey)


async def test_an_idle_stack_without_valkey_takes_up_work_at_once(form: Form) -> None:
    """Without rings there is only the sweep, which looks rarely at an idle database."""
    async with running(Plan(workers=1, apis=1)) as stack, contextlib.aclosing(Load(stack, seed=form.seed)) as load:
        await load.submit_many(1)
        await settled(stack)
        [valkey] = stack.pids("redis")
        stack.pause_pid(valkey)
        await asyncio.sleep(form.pick(8, 60))
        await load.submit_many(1)
        seconds = await settled(stack)
        print(f"done {seconds:.2f} s after the submit")
        assert seconds < 4
        stack.resume_pid(valkey)
        await prove(stack, load)
