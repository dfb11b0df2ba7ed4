"""Pump: no ring is lost, alarms wake it in time, and a step that fails is tried again."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator

import pytest

from app.core.errors import StoreUnavailable
from app.core.process.pump import Pump
from tests.gateway import eventually


@contextlib.asynccontextmanager
async def running(pump: Pump) -> AsyncIterator[Pump]:
    task = asyncio.create_task(pump.run())
    try:
        yield pump
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Steps:
    """Counts its steps; each takes a moment."""

    def __init__(self, *gives: float, seconds: float = 0.0) -> None:
        self.at: list[float] = []
        self._gives = list(gives)
        self._seconds = seconds

    async def __call__(self) -> float:
        self.at.append(time.monotonic())
        await asyncio.sleep(self._seconds)
        return self._gives.pop(0) if self._gives else math.inf


async def test_it_runs_once_at_its_start_and_then_when_rung() -> None:
    steps = Steps()
    pump = Pump("test", steps)
    async with running(pump):
        await asyncio.sleep(0.05)
        assert len(steps.at) == 1
        pump.ring()
        await asyncio.sleep(0.05)
        assert len(steps.at) == 2


async def test_a_ring_during_a_step_runs_it_once_more() -> None:
    steps = Steps(seconds=0.05)
    pump = Pump("test", steps)
    async with running(pump):
        await asyncio.sleep(0.02)
        for _ in range(5):
            pump.ring()
        await asyncio.sleep(0.2)
        assert len(steps.at) == 2


async def test_zero_means_at_once_and_seconds_mean_later() -> None:
    steps = Steps(0.0, 0.1)
    async with running(Pump("test", steps)):
        await asyncio.sleep(0.05)
        assert len(steps.at) == 2
        await asyncio.sleep(0.15)
        assert len(steps.at) == 3


async def test_alarms_wake_it_in_time_also_earlier_ones_set_later() -> None:
    steps = Steps()
    pump = Pump("test", steps)
    async with running(pump):
        await asyncio.sleep(0.02)
        began_at = time.monotonic()
        pump.ring_in(0.4)
        pump.ring_in(0.15)
        pump.ring_in(0.15)
        await asyncio.sleep(0.6)
    offsets = [at - began_at for at in steps.at[1:] if at > began_at]
    for wanted in (0.15, 0.4):
        assert min(abs(offset - wanted) for offset in offsets) < 0.1, offsets
    assert len(offsets) <= 4


async def test_one_alarm_is_enough_to_wake_a_pump_that_waits_for_ever() -> None:
    steps = Steps()
    pump = Pump("test", steps)
    async with running(pump):
        await asyncio.sleep(0.02)
        pump.ring_in(0.1)
        await asyncio.sleep(0.3)
    assert len(steps.at) == 2


async def test_an_alarm_that_goes_off_during_a_step_is_not_taken_for_done() -> None:
    steps = Steps(seconds=0.2)
    pump = Pump("test", steps)
    async with running(pump):
        await asyncio.sleep(0.02)
        pump.ring_in(0.05)
        pump.ring_in(5.0)
        await asyncio.sleep(0.5)
    assert len(steps.at) == 2


async def test_rings_gather_within_the_gap() -> None:
    steps = Steps()
    pump = Pump("test", steps, gap_seconds=0.1)
    async with running(pump):
        for _ in range(30):
            pump.ring()
            await asyncio.sleep(0.01)
    assert 2 <= len(steps.at) <= 6


async def test_a_ring_after_a_rest_is_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps()
    async with running(Pump("test", steps, gap_seconds=60.0)) as pump:
        await asyncio.sleep(0.02)
        assert len(steps.at) == 1
        monkeypatch.setattr("app.core.clock.monotonic", lambda: time.monotonic() + 60.0)
        pump.ring()

        async def again() -> bool:
            return len(steps.at) == 2

        await eventually(again, seconds=50)


async def test_it_tells_that_it_fails_until_a_step_succeeds() -> None:
    told: list[bool] = []
    well = asyncio.Event()

    async def step() -> float:
        told.append(pump.failing)
        if len(told) < 3:
            raise StoreUnavailable if len(told) == 1 else ValueError
        well.set()
        return math.inf

    pump = Pump("test", step)
    async with running(pump):
        async with asyncio.timeout(60):
            await well.wait()
        await asyncio.sleep(0)
        assert not pump.failing
    assert told == [False, True, True]


async def test_a_step_that_fails_is_tried_again() -> None:
    calls = 0
    well = asyncio.Event()

    async def step() -> float:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreUnavailable
        if calls == 2:
            raise RuntimeError("a fault of ours")
        well.set()
        return math.inf

    async with running(Pump("test", step)):
        await asyncio.wait_for(well.wait(), 60)
        await asyncio.sleep(0.05)
    assert calls == 3
