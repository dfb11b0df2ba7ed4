"""kill -9 of APIs under submits: what was acknowledged is there, and no key made two jobs."""

import asyncio

import pytest

from tests.chaos.form import Form, now_and_then
from tests.chaos.load import Load
from tests.chaos.prove import prove
from tests.chaos.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


async def test_submits_survive_kills_of_the_api(victim: Stack, load: Load, form: Form) -> None:
    chance = form.chance()
    seconds = form.pick(8, 60)
    flow = asyncio.create_task(load.run(seconds=seconds, per_second=30))
    async for _ in now_and_then(chance, seconds=seconds, least=0.3, most=2.0):
        victim.kill("api", chance=chance)
    await flow
    assert victim.killed["api"] >= 3
    figures = await prove(victim, load)
    assert set(figures["states"]) == {"completed"}
    print(f"{victim.killed['api']} kills of an API in {seconds} s under {len(load.submits)} submits, 0 violations")
