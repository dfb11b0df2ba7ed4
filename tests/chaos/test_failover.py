"""Postgres fails over to a replica under load: with everything, or without its last seconds. Nothing is sent twice."""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest

from tests.chaos.form import Form
from tests.chaos.load import Load
from tests.chaos.prove import prove
from tests.chaos.replica import replicated
from tests.chaos.stack import Plan, Stack, running, until_async

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SETTLE_SECONDS = "2"


def plan(url: str) -> Plan:
    settings = {"DATABASE_URL": url, "HISTORY_SETTLE_SECONDS": SETTLE_SECONDS}
    return Plan(workers=2, apis=2, speed=50, settings=settings, history=True)


def recover(stack: Stack) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "recover", "--json", "--data-dir", str(stack.data)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=stack.plan.environment(),
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


async def doubt(stack: Stack) -> str | None:
    found: str | None = (await stack.fetch("SELECT doubt FROM books"))[0]["doubt"]
    return found


def refused(load: Load) -> dict[str, int]:
    """What submits were answered beside 200."""
    return dict(Counter(str(status) for submit in load.submits for status in submit.statuses if status != 200))


async def test_a_synchronous_replica_loses_nothing_and_needs_nobody(form: Form, tmp_path: Any) -> None:
    async with replicated(tmp_path) as pair, running(plan(pair.url)) as stack:
        await pair.make_synchronous()
        load = Load(stack, seed=form.seed)
        flow = asyncio.create_task(load.run(seconds=form.pick(10, 30), per_second=form.pick(10, 50)))
        await asyncio.sleep(form.pick(4, 10))
        failed_at = time.monotonic()
        await pair.fail_over()
        over_at = time.monotonic()

        async def goes_on() -> bool:
            rows = await stack.fetch("SELECT server, doubt FROM books")
            return rows[0]["doubt"] is None and "/00000002/" in rows[0]["server"]

        await until_async(goes_on, "sending goes on by itself")
        on_at = time.monotonic()
        await flow
        figures = await prove(stack, load)
        assert set(figures["states"]) == {"completed"}
        print(
            f"down {over_at - failed_at:.1f} s, sending again {on_at - over_at:.1f} s after; {refused(load)} of"
            f" {len(load.submits)} submits; {figures['states']}"
        )
        await load.aclose()


async def test_a_replica_that_lacks_seconds_sends_nothing_until_recovered(form: Form, tmp_path: Any) -> None:
    async with replicated(tmp_path) as pair, running(plan(pair.url)) as stack:
        load = Load(stack, seed=form.seed)
        flow = asyncio.create_task(load.run(seconds=form.pick(10, 30), per_second=form.pick(10, 50)))
        await asyncio.sleep(form.pick(4, 10))
        await pair.fall_behind()
        await asyncio.sleep(form.pick(2, 5))
        failed_at = time.monotonic()
        await pair.fail_over()
        over_at = time.monotonic()

        async def is_doubted() -> bool:
            return await doubt(stack) == "older"

        await until_async(is_doubted, "a worker finds that what it wrote is missing")
        found_at = time.monotonic()
        started = len(stack.book().started_ids())
        await flow
        await asyncio.sleep(max(0.0, found_at + form.pick(5, 60) - time.monotonic()))
        assert len(stack.book().started_ids()) == started, "nothing is sent while nobody has recovered"
        began_at = time.monotonic()
        told = await asyncio.to_thread(recover, stack)
        recovered_at = time.monotonic()

        async def none_left() -> bool:
            return not {"queued", "sending", "running"} & (await stack.states()).keys()

        await until_async(none_left, "every job is final or listed")
        starts = stack.book().starts_by_body()
        assert {body: ids for body, ids in starts.items() if len(ids) > 1} == {}
        assert await doubt(stack) is None
        owned = {
            row["upstream_id"]
            for row in await stack.fetch("SELECT upstream_id FROM jobs WHERE upstream_id IS NOT NULL")
        }
        orphans = {row["upstream_id"] for row in await stack.fetch("SELECT upstream_id FROM ops.discrepancies")}
        assert set(stack.book().started_ids()) <= owned | orphans, "what no job owns is listed"
        acknowledged = sum(submit.told == "acknowledged" for submit in load.submits)
        known = sum((await stack.states()).values())
        print(
            f"down {over_at - failed_at:.1f} s, found {found_at - over_at:.1f} s after, recover took"
            f" {recovered_at - began_at:.1f} s: {told}; {refused(load)} of {len(load.submits)} submits; {acknowledged}"
            f" acknowledged, {known} known; {await stack.states()}"
        )
        await load.aclose()
