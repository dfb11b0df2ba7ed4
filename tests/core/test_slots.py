"""Slots: they are counted, freed in every case, and drained with a last word."""

import asyncio

import pytest
from structlog.testing import capture_logs

from app.core.process.slots import Slots


async def test_a_slot_is_free_again_whatever_became_of_it() -> None:
    freed: list[int] = []
    gate = asyncio.Event()

    async def ends() -> None:
        await gate.wait()

    async def raises() -> None:
        await gate.wait()
        raise ValueError("nobody awaits this")

    slots = Slots("test", 3, freed=lambda: freed.append(slots.free))
    slots.start(ends())
    slots.start(raises())
    assert slots.free == 1
    gate.set()
    with capture_logs() as logs:
        await slots.drain(5)
        await asyncio.sleep(0)
    assert freed == [2, 3]
    # what other tests have left running may log, too
    assert [entry["slots"] for entry in logs if entry["event"] == "slots.not_recorded"] == ["test"]


@pytest.mark.parametrize(("cancel_seconds", "said"), [(5.0, ["shut down"]), (0.0, [])])
async def test_what_is_late_is_cut_and_may_say_so(cancel_seconds: float, said: list[str]) -> None:
    heard: list[str] = []

    async def works() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            heard.append("shut down")

    slots = Slots("test", 1, freed=lambda: None)
    slots.start(works())
    await asyncio.sleep(0)
    await slots.drain(0.01, cancel_seconds=cancel_seconds)
    assert heard == said
    await slots.drain(5)
    assert slots.free == 1


async def test_nothing_on_the_wire_is_drained_at_once() -> None:
    slots = Slots("test", 1, freed=lambda: None)
    async with asyncio.timeout(30):
        await slots.drain(60, cancel_seconds=60)
    assert slots.free == 1
