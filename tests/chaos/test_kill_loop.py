"""kill -9 of whatever comes to hand, for as long as one likes."""

import asyncio
import contextlib

import httpx
import pytest

from tests.chaos.form import Form, now_and_then
from tests.chaos.load import Load
from tests.chaos.prove import prove
from tests.chaos.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


SLOWLY = (
    {"match": "submit", "fault": "delay", "seconds": 0.3, "probability": 0.5},
    {"match": "status", "fault": "delay", "seconds": 0.3, "probability": 0.2},
    {"match": "result", "fault": "delay", "seconds": 0.3, "probability": 0.2},
)
"""Otherwise hardly a kill would hit anything on its way."""

ROLES = ("worker", "worker", "worker", "api", "postgres", "redis", "simulator")


async def test_random_kills_of_everything(victim: Stack, load: Load, form: Form) -> None:
    chance = form.chance()
    seconds = form.pick(15, 600)
    flow = asyncio.create_task(load.run(seconds=seconds, per_second=20))
    async for _ in now_and_then(chance, seconds=seconds, least=0.5, most=2.5):
        with contextlib.suppress(httpx.TransportError):  # it forgets them when it is killed
            await victim.faults(*SLOWLY)
        victim.kill(chance.choice(ROLES), chance=chance)
    await flow
    figures = await prove(victim, load)
    kills = sum(victim.killed.values())
    assert kills >= seconds / 4
    print(f"{kills} kills in {seconds} s at 20 jobs a second: {len(load.submits)} jobs, 0 violations")
    assert set(figures["states"]) <= {"completed", "unknown", "failed"}
    # a job whose holder was killed three times in a row is poison, and rightly so
    assert set(figures["codes"]) <= {"poison"}
    assert figures["codes"].get("poison", 0) <= 1 + len(load.submits) / 1000
