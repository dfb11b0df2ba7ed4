"""How much chaos: the short form of a test, for every run of the suite, or its long one."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Form:
    """`long` or short, and the seed of every random choice."""

    long: bool
    seed: int

    def pick(self, short: T, long: T) -> T:
        """One of two figures, by the form that runs."""
        return long if self.long else short

    def chance(self) -> random.Random:
        """Choices that the seed decides."""
        return random.Random(self.seed)


async def now_and_then(chance: random.Random, *, seconds: float, least: float, most: float) -> AsyncIterator[None]:
    """Turns of a loop, with a pause of between `least` and `most` seconds before each, for so long."""
    until_at = time.monotonic() + seconds
    while True:
        await asyncio.sleep(chance.uniform(least, most))
        if time.monotonic() > until_at:
            return
        yield
