"""The data directory of `waystation up` is put back as it was some time ago, while jobs ran: nothing is sent twice."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.chaos.form import Form
from tests.chaos.load import Load
from tests.chaos.stack import Plan, Stack, running, until_async

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def plan() -> Plan:
    return Plan(workers=2, apis=1, settings={"HISTORY_SETTLE_SECONDS": "2", "UPSTREAM_RPM": "120"}, history=True)


def _cli(stack: Stack, *words: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *words, "--json", "--data-dir", str(stack.data)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=stack.plan.environment(),
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def _put_back(stack: Stack, copy: Path) -> None:
    """All of it but the simulator's book: the upstream is not ours, and remembers."""
    book = copy.with_name("book")
    shutil.copytree(stack.data / "simulator", book)
    shutil.rmtree(stack.data)
    shutil.copytree(copy, stack.data)
    shutil.rmtree(stack.data / "simulator")
    shutil.copytree(book, stack.data / "simulator")


async def test_a_directory_that_is_put_back_sends_nothing_twice(plan: Plan, form: Form, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    async with running(plan) as stack, contextlib.aclosing(Load(stack, seed=form.seed)) as load:
        await load.run(seconds=form.pick(3, 7), per_second=20)
        # a copy of a stopped stack that has work left; `up` then goes on as if nothing had been
        assert await stack.stop() == 0
        await asyncio.to_thread(shutil.copytree, stack.data, copy)
        await stack.start()
        states = await stack.states()
        assert states.get("queued", 0) > 0
        assert (await stack.fetch("SELECT doubt FROM books"))[0]["doubt"] is None, "an ordinary restart stops nothing"
        sent = len(stack.book().started_ids())

        async def more_sent() -> bool:
            return len(stack.book().started_ids()) > sent + form.pick(8, 40)

        await until_async(more_sent, "jobs are sent that the copy knows as queued")
        await asyncio.sleep(form.pick(0, 30))
        await stack.stop()
        await asyncio.to_thread(_put_back, stack, copy)
        await stack.start()
        assert (await stack.fetch("SELECT doubt FROM books"))[0]["doubt"] in ("copied", "older")
        assert [row["reason"] for row in await stack.fetch("SELECT reason FROM ops.pauses")] == ["restored"]
        before = len(stack.book().started_ids())
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{stack.url}/readyz")
            assert (answer.status_code, answer.json()["database"]) == (503, "restored")
        await asyncio.sleep(form.pick(3, 20))
        assert len(stack.book().started_ids()) == before, "nothing is sent until somebody recovers"
        print(await asyncio.to_thread(_cli, stack, "recover"))

        async def none_left() -> bool:
            left = await stack.states()
            return not {"queued", "sending", "running"} & left.keys()

        await until_async(none_left, "every job is final or listed")
        assert all(len(ids) == 1 for ids in stack.book().starts_by_body().values())
        print(await stack.states(), len(stack.book().started_ids()))
