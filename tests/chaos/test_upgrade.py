"""The previous release and this one side by side, under load, with kills, while the schema goes up and down.

The order is the one of docs/upgrading.md: migrate, then exchange the processes; and back. `previous-release` names the commit.
"""

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.form import Form
from tests.chaos.load import CUT, CUT_WITHIN, Load
from tests.chaos.pollers import SdkPollers
from tests.chaos.prove import prove
from tests.chaos.stack import Plan
from tests.chaos.upgrade.clients import Waiting
from tests.chaos.upgrade.fleet import Fleet, fleet_of
from tests.chaos.upgrade.release import previous_release, this_release
from tests.flows.sdk import VERSIONS, install

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KINDS = ("worker", "api")
SDK_POLLERS = 6
SUBMIT = """'sim-echo', echo={"marker": f"sdk-{number}-{seen.total()}-{id(object())}"}"""
LEASE_SECONDS = "10"
"""Long enough that no process ends itself on a busy machine, whose event loop is held up."""
KNOWS_NEWER = "0015"
"""Releases before this migration say on a newer schema that they are not ready, and their `waystation migrate` fails."""
DROPPED = {"RemoteProtocolError", "ReadError"} | CUT | CUT_WITHIN
"""A client's connection ended under its request, before or within the answer: where an API was killed, hardly elsewhere."""


class Flow:
    """All clients, for the length of the exchange."""

    def __init__(self, fleet: Fleet, form: Form) -> None:
        self.load = Load(fleet, seed=form.seed)
        self.clients = form.pick(10, 50)
        self.waiting = Waiting(fleet, clients=self.clients)
        self._per_second = form.pick(25, 100)
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._over.is_set():
            await self.load.run(seconds=1, per_second=self._per_second)

    async def end(self) -> None:
        self._over.set()
        await self._task
        await self.waiting.end()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.waiting.close()
        await self.load.aclose()


async def _crash(fleet: Fleet, chance: random.Random, times: int) -> None:
    for _ in range(times):
        await asyncio.gather(*(fleet.crash(kind, chance) for kind in KINDS))


async def _exchange(fleet: Fleet, form: Form, chance: random.Random) -> list[str]:
    """Up, down, and up again; what was done, with its seconds."""
    told: list[str] = []
    began_at = time.monotonic()

    def did(what: str) -> None:
        told.append(f"{what} at {time.monotonic() - began_at:.0f} s")
        print(told[-1])

    await asyncio.gather(fleet.migrate(fleet.new), _crash(fleet, chance, form.pick(1, 3)))
    assert fleet.releases() == {"old"}
    tables = await fleet.expand()
    if fleet.old.head >= KNOWS_NEWER:
        assert (await fleet.readiness())["status"] == "ready"
    did(f"schema up, and a column more in {tables} tables")
    await fleet.replace("worker", fleet.new)
    await _crash(fleet, chance, form.pick(1, 5))
    assert fleet.releases() == {"old", "new"}
    did("mixed")
    await fleet.replace("api", fleet.new)
    assert fleet.releases() == {"new"}
    did("all new")
    if fleet.old.head >= KNOWS_NEWER:
        await fleet.migrate(fleet.old)  # of no effect: a deployment that goes back runs it again
    await asyncio.gather(fleet.replace("api", fleet.old), fleet.replace("worker", fleet.old))
    assert fleet.releases() == {"old"}
    await fleet.expand(undo=True)
    did("all old on the new schema")
    await asyncio.gather(fleet.migrate_down(fleet.old.head), _crash(fleet, chance, form.pick(1, 3)))
    did("schema down")
    await fleet.migrate(fleet.new)
    await asyncio.gather(fleet.replace("api", fleet.new), fleet.replace("worker", fleet.new))
    assert fleet.releases() == {"new"}
    did("all new again")
    return told


async def test_two_releases_side_by_side(form: Form, tmp_path: Path) -> None:
    old, new, chance = await previous_release(), this_release(), form.chance()
    sdk = await asyncio.to_thread(install, VERSIONS[-1], tmp_path)
    keep = os.environ.get("CHAOS_KEEP")
    async with fleet_of(
        Plan(settings={"LEASE_SECONDS": LEASE_SECONDS}), old=old, new=new, keep=keep and f"{keep}/upgrade"
    ) as fleet:
        await asyncio.gather(*(fleet.add(kind, old) for kind in KINDS * form.pick(1, 2)))
        flow = Flow(fleet, form)
        pollers = await SdkPollers.started(fleet, sdk, pollers=SDK_POLLERS, submit=SUBMIT, wait_seconds=15)
        try:
            told = await _exchange(fleet, form, chance)
            polled = await pollers.end(seconds=120)
            await flow.end()
            figures = await prove(fleet, flow.load)
        finally:
            pollers.kill()
            await flow.close()
    statuses = Counter(status for submit in flow.load.submits for status in submit.statuses)
    print("upgraded", told, figures, dict(statuses), dict(flow.waiting.seen), polled)
    assert set(figures["states"]) <= {"completed", "unknown"}
    assert set(statuses) - DROPPED == {200}
    assert set(flow.waiting.seen) - DROPPED - {"still running"} == {"COMPLETED"}
    dropped = sum(count for answer, count in flow.waiting.seen.items() if answer in DROPPED)
    assert dropped <= (fleet.killed["api"] + 1) * flow.clients, "an API that ended in order cut the waits on it"
    assert {name for name in polled if name.split(":")[0] not in DROPPED} - {"still running"} == {"COMPLETED"}
