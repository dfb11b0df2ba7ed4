"""The first signal stops in order; what comes right after it is the same order, what comes later is another one."""

import asyncio
import os
import signal

import pytest

from app.core import clock
from app.core.process.stop_signals import AGAIN_SECONDS, stop_signals


async def test_a_signal_that_comes_twice_at_once_is_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    told: asyncio.Queue[str] = asyncio.Queue()
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals(first=lambda: told.put_nowait("first"), again=lambda: told.put_nowait("again")):
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(told.get(), 30) == "first"
        now += AGAIN_SECONDS / 2
        os.kill(os.getpid(), signal.SIGINT)
        asyncio.get_running_loop().call_later(0.2, told.put_nowait, "nothing")
        assert await asyncio.wait_for(told.get(), 30) == "nothing"
        now += AGAIN_SECONDS
        os.kill(os.getpid(), signal.SIGINT)
        assert await asyncio.wait_for(told.get(), 30) == "again"
    assert signal.getsignal(signal.SIGTERM) is before
