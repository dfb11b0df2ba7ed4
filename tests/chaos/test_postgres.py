"""kill -9 of Postgres under load, again and again: nothing acknowledged is missing, and nobody has to lend a hand."""

import asyncio

import pytest

from tests.chaos.form import Form
from tests.chaos.load import Load
from tests.chaos.prove import prove
from tests.chaos.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'waystation-%' AND pid <> pg_backend_pid()"


async def _crash(stack: Stack, backend: bool) -> None:
    """The whole server, or one backend, upon which the server cuts every connection and recovers."""
    if not backend:
        await stack.replaced("postgres")
        assert stack.kill("postgres") is not None
        return
    rows = await stack.fetch(_BACKENDS)
    if rows:
        stack.kill_pid(rows[0]["pid"])
        stack.killed["backend"] = stack.killed.get("backend", 0) + 1


async def test_postgres_may_crash_at_any_moment(victim: Stack, load: Load, form: Form) -> None:
    chance = form.chance()
    crashes = form.pick(["server"] * 3 + ["backend"] * 3, ["server"] * 20 + ["backend"] * 20)
    chance.shuffle(crashes)
    pauses = [chance.uniform(1.0, 3.0) for _ in crashes]
    seconds = sum(pauses) + 2
    flow = asyncio.create_task(load.run(seconds=seconds, per_second=25))
    reads = asyncio.create_task(load.read(seconds=seconds, per_second=10))
    for crash, pause in zip(crashes, pauses, strict=True):
        await asyncio.sleep(pause)
        await _crash(victim, backend=crash == "backend")
    await flow
    print(f"{len(await reads)} reads, the slowest took {max(await reads):.2f} s")
    figures = await prove(victim, load)
    # nobody who waited for an answer was killed, so everybody has written down what it was
    assert set(figures["states"]) == {"completed"}
    assert all(submit.told != "lost" for submit in load.submits)
    print(f"{victim.killed}: {len(load.submits)} submits, 0 acknowledged missing, 0 unknown")
