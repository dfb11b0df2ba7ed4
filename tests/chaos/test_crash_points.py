"""Die, or fail as nobody foresaw, at every named point: nothing is lost, nothing doubled."""

import asyncio
import contextlib
import random
from pathlib import Path

import httpx
import pytest

from app.core.crash import POINTS
from tests.chaos.armed import Armed
from tests.chaos.form import Form
from tests.chaos.load import Load
from tests.chaos.prove import prove
from tests.chaos.stack import Plan, Stack, running, until_async
from tests.doubles.receiver import Receiver, receiving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SLOWLY = (
    {"match": "submit", "fault": "delay", "seconds": 1.2, "probability": 0.2},
    {"match": "status", "fault": "delay", "seconds": 1.2, "probability": 0.1},
)
"""Long enough for leases to be renewed, and for a sweep to find what a dead sender left."""
REACH_SECONDS = 120.0
"""Longer than the lease of a delivery: those of a dead worker may hold all the slots of their endpoint until then."""
SWEPT_SECONDS = 15.0
"""Several leases and a worker's start."""
TURN_SECONDS = 0.1
TURNS_MAX = 40


async def be_told(stack: Stack, receiver: Receiver) -> None:
    """Every job's end leads through the points of its delivery, too."""
    async with httpx.AsyncClient(base_url=stack.url, headers={"x-api-key": stack.api_key}, timeout=60) as client:
        answer = await client.post("/api/v1/webhook-endpoints", json={"url": receiver.url})
        assert answer.status_code == 201, answer.text


async def turn(stack: Stack, load: Load) -> None:
    """A little of everything that leads through the points: submits, a refused one, a cancel."""
    headers = {"x-api-key": stack.api_key}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=60) as client:

        async def refused() -> None:
            await client.post("/v2/motionctrl-svd", json={"fps": 99})

        async def canceled() -> None:
            submit = await load.submit()
            await client.post(f"/api/v1/jobs/{submit.request_id}/cancel")

        work = (load.submit(), load.submit(keyed=False), refused(), canceled())
        for result in await asyncio.gather(*work, return_exceptions=True):
            # an API that dies in mid-answer hangs up on its clients: they know no more than that
            assert result is None or not isinstance(result, Exception) or isinstance(result, httpx.TransportError), (
                result
            )


class Traffic:
    """Turns that come and go, however many processes die meanwhile."""

    def __init__(self, stack: Stack, load: Load) -> None:
        self._stack, self._load = stack, load
        self._turns: set[asyncio.Task[None]] = set()

    async def flow(self) -> None:
        """One more turn, unless too many wait already; raises what an ended one raised."""
        for ended in [one for one in self._turns if one.done()]:
            self._turns.discard(ended)
            ended.result()
        if len(self._turns) < TURNS_MAX:
            self._turns.add(asyncio.create_task(turn(self._stack, self._load)))
        await asyncio.sleep(TURN_SECONDS)

    async def end(self) -> None:
        """Return when all have come to their end."""
        await asyncio.gather(*self._turns)


async def reach(stack: Stack, traffic: Traffic, armed: Armed, point: str) -> bool:
    """Keep the stack busy until somebody has come to the point; whether that was so in time."""
    give_up_at = asyncio.get_running_loop().time() + REACH_SECONDS
    while not armed.carried_out() and asyncio.get_running_loop().time() < give_up_at:
        if point == "sweep.after_expire":
            await leave_submits(stack, traffic, armed)
        else:
            await traffic.flow()
    return armed.carried_out()


async def leave_submits(stack: Stack, traffic: Traffic, armed: Armed) -> None:
    """Kill the workers while submits are on their way, and wait until a sweep has found them. It may find none: the answer may
    come before the kill does."""
    await stack.faults({"match": "submit", "fault": "delay", "seconds": 3.0})
    await traffic.flow()

    async def on_the_wire() -> bool:
        return (await stack.states()).get("sending", 0) > 0

    await until_async(on_the_wire, "a submit is on the wire", REACH_SECONDS)
    for pid in stack.pids("worker"):
        stack.kill_pid(pid)
    await stack.faults(*SLOWLY)
    swept_at = asyncio.get_running_loop().time() + SWEPT_SECONDS
    while not armed.carried_out() and asyncio.get_running_loop().time() < swept_at:
        await traffic.flow()


def skips(chance: random.Random, point: str) -> int:
    """How often it is passed first; what comes about rarely is not waited for twice."""
    return 0 if point.startswith("sweep.") else chance.choice([0, 0, 1, 2])


async def test_crash_at_every_point(form: Form, tmp_path: Path) -> None:
    """In rounds, each of which has a seed of its own, one more than the last one's."""
    armed = Armed(tmp_path / "crash.plan")
    settings = {
        "TEST_CRASH_PLAN": str(armed.path), "UNKNOWN_MAX_SECONDS": "8", "WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
    }  # fmt: skip
    rounds, crashes, missed = form.pick(1, 20), 0, []
    async with (
        receiving() as receiver,
        running(Plan(settings=settings)) as stack,
        contextlib.aclosing(Load(stack, seed=form.seed)) as load,
    ):
        await be_told(stack, receiver)
        load.tolerated.add(500)  # what a failure nobody foresaw is answered with
        await stack.faults(*SLOWLY)
        traffic = Traffic(stack, load)
        for seed in range(form.seed, form.seed + rounds):
            chance = random.Random(seed)
            for point in chance.sample(POINTS, len(POINTS)):
                armed.arm(point, how=chance.choice(["kill", "raise"]), skip=skips(chance, point))
                if await reach(stack, traffic, armed, point):
                    crashes += 1
                else:
                    missed.append(point)
                armed.disarm()
            print(f"seed {seed}: {crashes} crashes so far", flush=True)
        await traffic.end()
        await stack.faults()
        figures = await prove(stack, load)
    print(
        f"{crashes} crashes at {len(POINTS)} points over {rounds} seeds, 0 violations: the rate is below"
        f" {3 / crashes:.2%} (95 %)"
    )
    assert len(missed) <= crashes * 0.02, f"never reached: {missed}"
    assert set(figures["states"]) <= {"completed", "failed", "canceled", "unknown"}
    # whoever held a job has died three times in a row: it is parked, as it may be what kills them
    assert set(figures["codes"]) <= {"submission_unknown", "poison"}
