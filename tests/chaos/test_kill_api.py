"""kill -9 of APIs under submits: what was acknowledged is there, and no key made two jobs."""

import asyncio
import contextlib

import pytest

from tests.chaos.form import Form, now_and_then
from tests.chaos.load import Load
from tests.chaos.prove import prove
from tests.chaos.stack import Plan, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


async def test_submits_survive_kills_of_the_api(form: Form) -> None:
    chance = form.chance()
    async with running(Plan()) as stack, contextlib.aclosing(Load(stack, seed=form.seed)) as load:
        seconds = form.pick(8, 120)
        flow = asyncio.create_task(load.run(seconds=seconds, per_second=30))
        async for _ in now_and_then(chance, seconds=seconds, least=0.3, most=2.0):
            stack.kill("api", chance=chance)
        await flow
        assert stack.killed["api"] >= 3
        figures = await prove(stack, load)
        assert set(figures["states"]) == {"completed"}
