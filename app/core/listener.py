"""arq's worker, looking into Redis less often while there is nothing to do."""

import asyncio
from collections.abc import Callable

from arq.worker import Worker

ARQ_REST_SECONDS = 0.2
"""Added between two looks into Redis while nothing is unfinished: they are most of what an idle worker costs."""


class Listener(Worker):
    """arq's worker, that looks less often while `resting` says that there is nothing to do."""

    resting: Callable[[], bool]

    async def _poll_iteration(self) -> None:
        await super()._poll_iteration()
        if self.resting():
            await asyncio.sleep(ARQ_REST_SECONDS)
