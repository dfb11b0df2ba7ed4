"""A hostile tenant and its hostile upstream beside a tenant that behaves, on the real stack.

The healthy tenant is measured alone and beside, in turns within one run, so that a machine that slows down slows both.
The hostile one is a single process that holds itself to 200 requests and 5 MB a second and 0.3 of a core.
`CHAOS_ONLY=bodies` or `CHAOS_ONLY=upstream.gzip,reads` runs some of the attacks only: to learn which of them hurts.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Self

import pytest

from app.core.database.db import Database
from tests.chaos.form import Form
from tests.chaos.healthy import Healthy, Seen
from tests.chaos.memory import Memory
from tests.chaos.neighbours import (
    BYTES_PER_SECOND,
    CPU_SHARE,
    REQUESTS_PER_SECOND,
    SPEED,
    Hostile,
    open_tenants,
    price_models,
)
from tests.chaos.stack import Plan, Stack, running
from tests.factories.jobs import wrong

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

JOBS_PER_SECOND = 20.0
OVERLOADED_SECONDS = 0.25
"""If submits take longer before any attack, the machine is so busy with other things that the short form cannot judge."""
MB = 1_000_000
MEMORY_BYTES_MAX = 200 * MB
SLOW_ATTACKS = {"bodies.integers", *(f"connections.{one}" for one in ("idle", "half_heads", "dripping_heads"))}
SLOW_ATTACKS |= {f"connections.{one}" for one in ("dripping_bodies", "half_bodies", "deaf")}
"""Attacks of which none may have come to an end in the short form."""
PLAN = Plan(speed=SPEED, settings={"LEASE_SECONDS": "15", "SWEEP_SECONDS": "1", "UNPRICED_MODELS": "refuse"})
"""Jobs of two seconds; otherwise as in production."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the healthy tenant saw: p99 of the seconds of its submits and jobs, answers, ends; and memory beyond alone."""

    submit_alone: float
    submit_beside: float
    job_alone: float
    job_beside: float
    medians: tuple[float, float, float, float]
    statuses: Mapping[int | str, int]
    ends: Mapping[str | None, int]
    grown_bytes: Mapping[str, int]

    @classmethod
    def of(cls, alone: Seen, beside: Seen, memory: Memory, *, give_up_seconds: float) -> Self:
        """A job that did not end counts as one that ended when it was given up."""
        (s50, s99), (t50, t99) = [[seen.submit_seconds(share) for share in (0.5, 0.99)] for seen in (alone, beside)]
        (j50, j99), (k50, k99) = [
            [seen.job_seconds(share, otherwise=give_up_seconds) for share in (0.5, 0.99)] for seen in (alone, beside)
        ]
        grown = memory.growth_bytes()
        return cls(s99, t99, j99, k99, (s50, t50, j50, k50), beside.statuses(), beside.ends(), grown)

    def __str__(self) -> str:
        s50, t50, j50, k50 = self.medians
        grown = ", ".join(f"{role} {size / MB:+.0f}" for role, size in self.grown_bytes.items())
        return (
            f"submit p99 {1e3 * self.submit_alone:.1f} -> {1e3 * self.submit_beside:.1f} ms"
            f" (x{self.submit_beside / self.submit_alone:.2f}; p50 {1e3 * s50:.1f} -> {1e3 * t50:.1f}),"
            f" job p99 {self.job_alone:.2f} -> {self.job_beside:.2f} s"
            f" (x{self.job_beside / self.job_alone:.2f}; p50 {j50:.2f} -> {k50:.2f}),"
            f" answers {dict(self.statuses)}, ends {dict(self.ends)}, memory MB {grown}"
        )


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with running(PLAN) as stack:
        await stack.working()
        await price_models(stack)
        yield stack


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[Database]:
    database = await Database.open(stack.ready["database_url"], name="neighbours", writers_max=2, readers_max=1)
    yield database
    await database.close()


async def test_a_hostile_neighbour_is_hardly_noticed(stack: Stack, database: Database, form: Form) -> None:
    rounds, alone_seconds, lead_seconds, beside_seconds = form.pick((1, 8, 6, 15), (4, 45, 15, 150))
    past_jobs, give_up_seconds = form.pick((2_000, 45), (50_000, 120))
    healthy_tenant, hostile_tenant = await open_tenants(stack, database, past_jobs=past_jobs)
    hostile = Hostile(stack, hostile_tenant, chance=form.chance())
    memory, warm, alone, beside = Memory(stack), Seen(), Seen(), Seen()
    began_with = [stack.pids(role) for role in ("api", "worker")]
    calmed = []
    async with contextlib.aclosing(Healthy(stack, healthy_tenant.text, give_up_seconds=give_up_seconds)) as healthy:
        async with memory.watched("alone"):
            await healthy.warm_up(warm)
        for number in range(rounds):
            async with memory.watched("again" if number else "alone"):
                await healthy.run(alone, seconds=alone_seconds, per_second=JOBS_PER_SECOND)
            async with memory.watched("beside"), hostile.attacking():
                # what it breaks when nobody else is about must not stay broken for who comes then
                await asyncio.sleep(lead_seconds)
                await healthy.run(beside, seconds=beside_seconds, per_second=JOBS_PER_SECOND)
            async with memory.watched("again"):
                calmed.append(await hostile.calmed())
    for attack, told in hostile.told_by_attack().items():
        print(f"  {attack}: {told}")
    found = Figures.of(alone, beside, memory, give_up_seconds=give_up_seconds)
    print(f"CHAOS_SEED={form.seed} {', '.join(hostile.only) or 'all attacks'}: {found}; it has calmed down: {calmed}")
    print(f"  used a second: {[{name: round(size, 2) for name, size in used.items()} for used in hostile.used]}")
    assert set(warm.ends()) == set(alone.ends()) == {"COMPLETED"}, f"{warm.ends()}, {alone.ends()}"
    if form.long or found.submit_alone < OVERLOADED_SECONDS:
        assert set(beside.statuses()) == {202}, f"the healthy tenant was refused: {found}"
        assert set(beside.ends()) == {"COMPLETED"}, f"not all jobs of the healthy tenant completed: {found}"
    assert [stack.pids(role) for role in ("api", "worker")] == began_with, "no process was replaced"
    assert found.grown_bytes["all"] <= form.pick(2, 1) * MEMORY_BYTES_MAX, str(found)
    if form.long:  # the short one runs beside other tests, which come and go: its times are printed
        assert found.submit_beside <= 2 * found.submit_alone, str(found)
        assert found.job_beside <= 1.3 * found.job_alone, str(found)
    assert await wrong(database) == {}
    for used in hostile.used:
        assert used["requests_per_second"] <= REQUESTS_PER_SECOND * 1.02 + 1
        assert used["bytes_per_second"] <= BYTES_PER_SECOND * 1.05
        assert used["cpu_share"] <= CPU_SHARE * 1.1
    told = hostile.told_by_attack()
    assert {attack.name for attack in hostile.attacks} <= set(told) | SLOW_ATTACKS
    # without jobs of the hostile tenant its upstream has nothing to be hostile with
    accepted = sum(answers.get("202", 0) for name, answers in told.items() if name.startswith(("upstream.", "shared.")))
    assert accepted >= 10, told
