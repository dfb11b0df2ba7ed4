"""Connection poolers before Postgres: which of them keep one server session for a connection, as ours needs it.

The role, the time-outs, read-only mode and the prepared statements of a connection belong to its session in the server.
PgBouncer keeps it with `pool_mode = session`. With `transaction` or `statement` the next statement may run in another
session: as another role, for ever, and where only reads are allowed it may write. Nothing tells a client which it is, so a
new connection finds out: a notification reaches a session that is idle only if the session is still that client's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import asyncpg

from app.core.log import get_logger
from app.core.sql import SqlFolder

log = get_logger(__name__)

if TYPE_CHECKING:
    Base = asyncpg.Connection[asyncpg.Record]
    Connection = Base | asyncpg.pool.PoolConnectionProxy[Any]
else:  # asyncpg's classes are generic in its stubs alone
    Base = asyncpg.Connection
    Connection = object

HEARD_SECONDS: Final = 2.0
"""How long a notification may take. It takes milliseconds; only where it never comes is the time used up."""
SECOND_SECONDS: Final = 3.0
"""How long a second connection may take to be there and to answer."""
FIND_BACKEND: Final = SqlFolder(__file__).query("find_backend", int)
MEND: Final = (
    "set WAYSTATION_DATABASE_URL to the Postgres server itself, postgresql://owner@host:5432/database, or PgBouncer with"
    " pool_mode = session for this database, as in deploy/pgbouncer/pgbouncer.ini"
)
SHARED: Final = (
    "WAYSTATION_DATABASE_URL leads to a connection pooler that gives each transaction another session of Postgres, as"
    " PgBouncer does with pool_mode = transaction or statement; the role, the time-outs and the prepared statements of our"
    f" connections would be lost: {MEND}"
)
LOST: Final = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""A statement that we prepared is not there, or one is there that we did not prepare: the session is another one."""


class OwnNames(Base):
    """A connection whose prepared statements have names of its own. asyncpg counts them in each process: in the session of
    another process the same name would be another statement."""

    _own: str | None = None

    def _get_unique_id(self, prefix: str) -> str:
        if self._own is None:
            self._own = uuid4().hex[:16]
        name: str = super()._get_unique_id(prefix)  # type: ignore[misc]
        return name + self._own


def is_pooled(connection: Connection, backend: int) -> bool:
    """Whether a pooler answers in the server's place: it gives a key for cancelling that is not the server's. `backend`:
    what `pg_backend_pid()` is there."""
    return connection.get_server_pid() != backend


async def keeps_session(connection: Connection, backend: int, connect: Callable[[], Awaitable[Base]]) -> bool:
    """Whether the connection has a session to itself. `backend`: what `pg_backend_pid()` was there; `connect`: opens
    another connection with the same URL, for a moment.

    Changes no setting: others may work in that session. Raises what asyncpg raises where the other connection cannot be had.
    """
    channel = f"waystation_{uuid4().hex}"
    heard = asyncio.Event()

    def hear(*_: object) -> None:
        heard.set()

    try:
        await connection.add_listener(channel, hear)
    except asyncpg.FeatureNotSupportedError:
        return False
    try:
        # most poolers that share sessions show it at once, and the others cannot hide it below
        async with _second(connect, backend) as (other, shown):
            if shown or await connection.fetchval(FIND_BACKEND.text) != backend:
                return False
            await other.execute(f"NOTIFY {channel}")
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARD_SECONDS):
                    await heard.wait()
        if not heard.is_set():
            # this process may have been held up: what the session was sent comes before the answer to its next question
            await connection.fetchval(FIND_BACKEND.text)
            await asyncio.sleep(0.01)
        return heard.is_set()
    finally:
        await connection.remove_listener(channel, hear)


@asynccontextmanager
async def _second(connect: Callable[[], Awaitable[Base]], backend: int) -> AsyncIterator[tuple[Base, bool]]:
    """Another connection, and whether it has the session of the first."""
    other: Base | None = None
    try:
        try:
            async with asyncio.timeout(SECOND_SECONDS):
                other = await connect()
                found = await other.fetchval(FIND_BACKEND.text)
        except (OSError, TimeoutError, asyncpg.PostgresConnectionError) as error:
            log.warning(
                "pooler.no_second_connection",
                cause=repr(error),
                mend="pool_size must be larger than the number of connections of all processes",
            )
            raise
        yield other, found == backend
    finally:
        if other is not None:
            other.terminate()  # nobody waits for its end
