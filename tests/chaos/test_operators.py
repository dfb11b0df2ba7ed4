"""Operators' verbs on a stack that works: the incident switch, the proof, and a job that outlives three workers."""

import asyncio
import contextlib
import sys
from typing import Any

import httpx
import pytest

from tests.chaos.form import Form
from tests.chaos.load import Load
from tests.chaos.prove import prove, settled
from tests.chaos.stack import Plan, Stack, running, until_async

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STUBBORN = "chaos-stubborn"


async def waystation(stack: Stack, *args: str) -> str:
    """What the command says, which must end well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app.cli", *args, "--data-dir", str(stack.data)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=stack.plan.environment(),
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


def started(stack: Stack) -> int:
    return len(list(stack.book().facts("started")))


async def admin(stack: Stack, verb: str, scope: dict[str, object]) -> dict[str, Any]:
    """The switch over HTTP: a command takes a second to start, and more on a busy machine."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {stack.ready['admin_key']}"}, timeout=60) as client:
        answer = await client.post(f"{stack.url}/admin/v1/{verb}", json=scope)
    told: dict[str, Any] = answer.raise_for_status().json()
    return told


async def test_a_pause_bites_within_a_second_and_loses_nothing(form: Form) -> None:
    async with running(Plan(workers=2)) as stack, contextlib.aclosing(Load(stack, seed=form.seed)) as load:
        await stack.working()
        scopes: list[dict[str, object]] = [{}, {"tenant": "demo"}, {"all": True}]
        for scope in scopes:
            submits = asyncio.create_task(load.run(seconds=5, per_second=30))
            await asyncio.sleep(1)
            assert (await admin(stack, "pause", scope))["changed"]
            await asyncio.sleep(1)
            before = started(stack)
            assert before > 0
            await submits
            assert started(stack) == before, "nothing is sent a second after the pause"
            assert "all" in (await waystation(stack, "verify")).splitlines()[-1]
            [[waiting]] = await stack.fetch("SELECT count(*) FROM jobs WHERE state = 'queued'")
            assert waiting > 50, "submits were accepted meanwhile"
            assert (await admin(stack, "resume", scope))["pauses"] == []
            print(f"{scope}: {waiting} jobs waited, and were done in {await settled(stack):.1f} s")
        figures = await prove(stack, load)
        assert set(figures["states"]) == {"completed"}
        assert "all" in (await waystation(stack, "verify")).splitlines()[-1]


async def test_a_job_that_outlives_three_workers(form: Form) -> None:
    """Its poll never answers, and whoever asks is killed: FAILED poison, and the others end well."""
    plan = Plan(workers=1, apis=1)
    async with running(plan) as stack, contextlib.aclosing(Load(stack, seed=form.seed)) as load:
        await stack.working()
        await stack.faults({"match": "status", "slug": STUBBORN, "fault": "delay", "seconds": 20.0})
        await load.submit(model=STUBBORN)

        async def holder() -> int | None:
            rows = await stack.fetch(
                "SELECT pid FROM processes JOIN jobs ON owner = processes.id"
                " WHERE model = $1 AND jobs.state = 'running' AND lease_until > now() AND pid = ANY($2::int[])",
                STUBBORN,
                stack.pids("worker"),
            )
            return rows[0]["pid"] if rows else None

        for _ in range(3):
            await until_async(holder, "somebody asks about it")
            pid = await holder()
            assert pid is not None
            await load.submit_many(5)
            stack.kill_pid(pid)
            await stack.replaced("worker", pid)
        await settled(stack)
        rows = await stack.fetch("SELECT model, state, error_code, count(*) FROM jobs GROUP BY 1, 2, 3 ORDER BY 1")
        assert [tuple(row)[:3] for row in rows if row["model"] == STUBBORN] == [(STUBBORN, "failed", "poison")]
        assert "poison" not in {row["error_code"] for row in rows if row["model"] != STUBBORN}
        assert "all" in (await waystation(stack, "verify")).splitlines()[-1]
