"""SIGTERM under load, one process after the other, as a deployment does it: in order, and nobody notices."""

import asyncio
import os
import re
import signal
import time

import pytest

from tests.chaos.form import Form
from tests.chaos.load import CUT, CUT_WITHIN, Load
from tests.chaos.prove import prove
from tests.chaos.stack import Stack, is_alive, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GRACE_SECONDS = 25.0
"""The setting's default."""


async def _replace(stack: Stack, role: str, pid: int) -> float:
    """The seconds it took to end."""
    began_at = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    await until(lambda: not is_alive(pid), f"{role} ends", GRACE_SECONDS + 5)
    took = time.monotonic() - began_at
    await stack.replaced(role, pid)
    await stack.working()
    return took


async def test_a_rolling_restart_is_not_noticed(victim: Stack, load: Load, form: Form) -> None:
    began = len(victim.output)
    [since] = await victim.fetch("SELECT now() AS at")
    flow = asyncio.create_task(load.run(seconds=form.pick(8, 200), per_second=form.pick(25, 100)))
    took: list[float] = []
    while not flow.done() or not took:
        for pid in victim.pids("worker"):
            took.append(await _replace(victim, "worker", pid))
        took.append(await _replace(victim, "api", victim.pids("api")[len(took) % 2]))
        await asyncio.sleep(2)  # the new one needs its time to listen, before the other one goes
    await flow
    figures = await prove(victim, load)
    codes = re.findall(r"process_died +code=(-?\d+) +member=(\w+)-\d", victim.output[began:])
    print(f"{len(took)} processes replaced under load, each gone within {max(took):.2f} s, 0 unknown because of it")
    assert {code for code, _ in codes} == {"0"}, codes
    assert set(figures["states"]) == {"completed"}
    assert await victim.fetch("SELECT FROM job_events WHERE to_state = 'unknown' AND at >= $1", since["at"]) == []
    # a client may find its connection closed, or closing, and nothing worse
    worse = {status for submit in load.submits for status in submit.statuses} - {200} - CUT
    assert worse <= CUT_WITHIN, worse
