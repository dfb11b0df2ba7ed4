"""The gate: one process's way to the row of `upstream_state`, behind which one transaction at a time claims or learns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.database.db import Database
from app.core.database.session import Session
from app.core.database.sql import SqlFolder

_LIMIT_IDLE = SqlFolder(__file__).command("limit_idle")


class Gate:
    """Lets one transaction of this process wait there at a time. A process that is stopped then keeps the others waiting once,
    for as long as `limit_idle.sql` says, and not once for each of its claims."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """As `Database.transaction`, for one that claims or learns."""
        async with self._lock, self._database.transaction(first=_LIMIT_IDLE.text) as session:
            yield session
