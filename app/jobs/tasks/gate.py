"""The gate: one process's way to the row of `upstream_state`, behind which one transaction at a time claims or learns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.db import Database, Session

IDLE_SECONDS = 1.0
"""So long may a process that claims or learns keep the others waiting between two statements: one that is stopped then is
rolled back."""
_LIMIT_IDLE = f"SET LOCAL idle_in_transaction_session_timeout = {round(IDLE_SECONDS * 1000)}"


class Gate:
    """Lets one transaction of this process wait there at a time. A process that is stopped then keeps the others waiting once,
    for IDLE_SECONDS, and not once for each of its claims."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """As `Database.transaction`, for one that claims or learns."""
        async with self._lock, self._database.transaction(first=_LIMIT_IDLE) as session:
            yield session
