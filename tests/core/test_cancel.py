import asyncio
import contextlib

from app.core.process.cancel import cancel_all


async def _swallows_one(seen: list[int]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    seen.append(1)
    await asyncio.sleep(60)


async def test_a_cancellation_that_was_swallowed_is_repeated() -> None:
    seen: list[int] = []
    running = asyncio.create_task(_swallows_one(seen))
    await asyncio.sleep(0)
    await cancel_all([running])
    assert running.cancelled()
    assert seen == [1]


async def test_what_has_ended_by_itself_is_left_alone() -> None:
    running = asyncio.create_task(asyncio.sleep(0))
    await running
    await cancel_all([running])
    assert not running.cancelled()
