"""Work on many items lets others in between."""

import asyncio

from app.core.process.pieces import PIECE, each


async def test_others_get_a_turn_after_every_piece() -> None:
    done: list[int] = []
    seen: list[int] = []

    async def look() -> None:
        while len(done) < 4 * PIECE:
            seen.append(len(done))
            await asyncio.sleep(0)

    def work(number: int) -> int:
        done.append(number)
        return -number

    looking = asyncio.create_task(look())
    assert await each(range(4 * PIECE), work) == [-number for number in range(4 * PIECE)]
    await looking
    assert [one for one in seen if one] == [PIECE, 2 * PIECE, 3 * PIECE]


async def test_none_at_all() -> None:
    assert await each([], str) == []
