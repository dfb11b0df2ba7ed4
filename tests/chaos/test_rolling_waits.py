"""APIs replaced one after the other while many clients wait: each of them is told the state of its job, and none a failure.

The processes of a stack listen on one socket, as those behind a load balancer are reached by one address: who has to connect
again reaches the other one.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.form import Form
from tests.chaos.load import CUT, CUT_WITHIN, Load
from tests.chaos.pollers import SdkPollers
from tests.chaos.stack import Plan, Stack, is_alive, running, until, until_async
from tests.flows.sdk import VERSIONS, install
from tests.gateway import LATER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DELAY_SECONDS = 2
PER_SECOND = 50
WAITS = {"read": 40, "submit": 30, "sync": 30}
PARKED = {"model": "sim-instant", "input": {}, "not_before": LATER}
SDK_POLLERS = 10
DROPPED = ("RemoteProtocolError", "ReadError", *CUT)
"""A client whose request crossed with the end of its idle connection; only reuse of a connection can meet with that."""


class Waits:
    """Clients that wait for jobs that do not end, each again as soon as it is answered; `seen` counts kinds of answers."""

    def __init__(self, stack: Stack, parked: str) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self.open = 0
        self._stack = stack
        self._headers = {"x-api-key": stack.api_key}
        self._requests: dict[str, dict[str, Any]] = {
            "read": {"method": "GET", "url": f"/api/v1/jobs/{parked}", "params": {"wait": "60"}},
            "submit": {"method": "POST", "url": "/api/v1/jobs", "json": PARKED, "headers": {"prefer": "wait=300"}},
            "sync": {"method": "POST", "url": "/v1/sim-hang", "json": {}, "headers": {"prefer": "wait=300"}},
        }

    async def run(self, kind: str) -> None:
        """One client, until it is cancelled."""
        async with httpx.AsyncClient(base_url=self._stack.url, headers=self._headers, timeout=400) as client:
            while True:
                self.open += 1
                try:
                    self.seen[kind, told(kind, await client.request(**self._requests[kind]))] += 1
                except httpx.TransportError as error:
                    self.seen[kind, type(error).__name__] += 1
                finally:
                    self.open -= 1


def told(kind: str, answer: httpx.Response) -> str:
    """The state of the job that an answer tells; else the answer itself."""
    good = {"read": 200, "submit": 202, "sync": 504}[kind]
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if answer.status_code != good or (kind == "sync" and body.get("code") != "still_running"):
        return f"{answer.status_code} {answer.text[:200]}"
    return "still running" if kind == "sync" and body["request_id"] else str(body["status"])


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with running(Plan(workers=1, settings={"SHUTDOWN_DELAY_SECONDS": str(DELAY_SECONDS)})) as made:
        yield made


async def _serving(stack: Stack) -> None:
    """Both processes are there."""
    sql = "SELECT count(*) FROM processes WHERE kind = 'api' AND pid = ANY ($1::int[]) AND stopped_at IS NULL"

    async def reported() -> bool:
        return int((await stack.fetch(sql, stack.pids("api")))[0][0]) == 2

    await until_async(reported, "both APIs report", 60)


async def test_every_answer_tells_the_state_of_its_job(stack: Stack, form: Form, tmp_path: Path) -> None:
    sdk = await asyncio.to_thread(install, VERSIONS[-1], tmp_path)
    async with httpx.AsyncClient(base_url=stack.url, headers={"x-api-key": stack.api_key}, timeout=60) as client:
        parked = str((await client.post("/api/v1/jobs", json=PARKED)).json()["id"])
    waits, load = Waits(stack, parked), Load(stack, seed=form.seed)
    waiting = [asyncio.create_task(waits.run(kind)) for kind, count in WAITS.items() for _ in range(count)]
    polling = await SdkPollers.started(
        stack,
        sdk,
        pollers=SDK_POLLERS,
        submit='"sim-hang" if number % 2 else "sim-echo", echo=number',
        wait_seconds=3,
    )
    over = asyncio.Event()
    flow = asyncio.create_task(load.run(seconds=form.pick(20, 200), per_second=PER_SECOND))
    flow.add_done_callback(lambda _: over.set())
    took: list[float] = []
    while not over.is_set() or len(took) < 2:
        await until(lambda: waits.open == len(waiting), "all wait", 60)
        pid = stack.pids("api")[len(took) % 2]
        os.kill(pid, signal.SIGTERM)
        began_at = time.monotonic()
        await until(lambda pid=pid: not is_alive(pid), "the API ends", 60)  # type: ignore[misc]
        took.append(time.monotonic() - began_at)
        await stack.replaced("api", pid, seconds=60)
        await _serving(stack)
    await flow
    await load.aclose()
    polled = await polling.end(seconds=60)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    statuses = Counter(status for submit in load.submits for status in submit.statuses)
    figures = {"replaced": len(took), "slowest_seconds": round(max(took), 2), "delay_seconds": DELAY_SECONDS}
    print("rolled", figures, {" ".join(key): count for key, count in waits.seen.items()}, dict(statuses), polled)
    assert max(took) < DELAY_SECONDS + 10, took
    # one of some forty short runs beside other tests has lost the connections of a process that ended, for a reason not
    # yet found: the long form, which runs alone, takes none of it, and the short one tells what the processes said
    lost = sum(count for (_, answer), count in waits.seen.items() if answer in DROPPED)
    if lost:
        print(stack.output, stack.log("api-0"), stack.log("api-1"))
    assert lost <= form.pick(len(waiting), 0), waits.seen
    answers = {(kind, answer) for kind, answer in waits.seen if answer not in DROPPED}
    assert answers == {("read", "QUEUED"), ("submit", "QUEUED"), ("sync", "still running")}
    assert sum(waits.seen.values()) >= len(waiting)
    assert set(statuses) - {200, *DROPPED, *form.pick(CUT_WITHIN, frozenset())} == set()
    assert {name for name in polled if not name.startswith(DROPPED)} == {"COMPLETED", "still running"}
    dropped = sum(count for name, count in [*statuses.items(), *polled.items()] if str(name).startswith(DROPPED))
    assert dropped <= form.pick(10, 1) * len(took), f"{dropped} requests crossed with the end of their connection"
    codes = {line.split("code=")[1].split()[0] for line in stack.output.splitlines() if "process_died" in line}
    assert codes <= {"0"}
    ids = [submit.request_id for submit in load.submits if submit.told == "acknowledged"]
    stored = await stack.fetch("SELECT count(*) FROM jobs WHERE 'job_' || replace(id::text, '-', '') = ANY ($1)", ids)
    assert stored[0][0] == len(ids) > 0
