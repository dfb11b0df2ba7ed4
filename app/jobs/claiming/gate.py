"""The gate limits each process to one transaction at a time that locks the row of `upstream_state`, to claim or to learn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.database.db import Database
from app.core.database.session import Session
from app.core.database.sql import SqlFolder

_LIMIT_IDLE = SqlFolder(__file__).command("limit_idle")


class Gate:
    """Lets one transaction of this process wait for that row at a time. If the process is suspended with the lock, the others
    wait once, as long as `limit_idle.sql` says, and not once for each of its claims."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Open a transaction that claims or learns."""
        async with self._lock, self._database.transaction(first=_LIMIT_IDLE.text) as session:
            yield session
