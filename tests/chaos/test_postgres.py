"""kill -9 of Postgres under load, again and again: nothing acknowledged is missing, and nobody has to lend a hand."""

import asyncio

import pytest

from tests.chaos.form import Form, now_and_then
from tests.chaos.load import Load
from tests.chaos.prove import prove
from tests.chaos.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'waystation-%' AND pid <> pg_backend_pid()"


async def _crash(stack: Stack, backend: bool) -> None:
    """The whole server, or one backend, upon which the server cuts every connection and recovers."""
    if not backend:
        stack.kill("postgres")
        return
    rows = await stack.fetch(_BACKENDS)
    if rows:
        stack.kill_pid(rows[0]["pid"])
        stack.killed["backend"] = stack.killed.get("backend", 0) + 1


async def test_postgres_may_crash_at_any_moment(victim: Stack, load: Load, form: Form) -> None:
    chance = form.chance()
    seconds = form.pick(14, 240)
    flow = asyncio.create_task(load.run(seconds=seconds, per_second=25))
    reads = asyncio.create_task(load.read(seconds=seconds, per_second=10))
    async for _ in now_and_then(chance, seconds=seconds, least=1.0, most=3.0):
        await _crash(victim, backend=chance.random() < 0.5)
    await flow
    print(f"{len(await reads)} reads, the slowest took {max(await reads):.2f} s")
    figures = await prove(victim, load)
    # nobody who waited for an answer was killed, so everybody has written down what it was
    assert set(figures["states"]) == {"completed"}
    assert all(submit.told != "lost" for submit in load.submits)
