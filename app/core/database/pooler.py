"""Find out whether a connection pooler before Postgres keeps one server session for each connection, as we need it.

The role, the timeouts, read-only mode and the prepared statements of a connection belong to its session in the server.
PgBouncer keeps the session with `pool_mode = session`. With `transaction` or `statement` the next statement may run in another
session, with another role, without a timeout, or with the right to write. A client cannot ask for the mode, so a new
connection tests it: a notification reaches an idle session only if the session still belongs to that client.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import asyncpg

from app.core.database.sql import SqlFolder
from app.core.logs.log import get_logger

log = get_logger(__name__)

if TYPE_CHECKING:
    Base = asyncpg.Connection[asyncpg.Record]
    Connection = Base | asyncpg.pool.PoolConnectionProxy[Any]
else:  # asyncpg's classes are generic only in its stubs
    Base = asyncpg.Connection
    Connection = object

HEARD_SECONDS: Final = 2.0
"""How long a notification may take. It takes milliseconds, unless it never comes."""
SECOND_SECONDS: Final = 3.0
"""How long a second connection may take to open and to answer."""
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
"""A prepared statement of ours is missing, or one exists that is not ours: the session is another one."""


class OwnNames(Base):
    """A connection whose prepared statements have unique names. asyncpg numbers them in each process, so in the session of
    another process the same name would mean another statement."""

    _own: str | None = None

    def _get_unique_id(self, prefix: str) -> str:
        if self._own is None:
            self._own = uuid4().hex[:16]
        name: str = super()._get_unique_id(prefix)  # type: ignore[misc]
        return name + self._own


def is_pooled(connection: Connection, backend: int) -> bool:
    """Return whether a pooler answers instead of the server: its cancel key does not have the server's process id.
    `backend`: the result of `pg_backend_pid()`."""
    return connection.get_server_pid() != backend


async def keeps_session(connection: Connection, backend: int, connect: Callable[[], Awaitable[Base]]) -> bool:
    """Return whether the connection has a session to itself. `backend`: its result of `pg_backend_pid()`. `connect`: opens
    a second connection with the same URL.

    It changes no setting, since other clients may use that session. Raises asyncpg's error if the second connection fails.
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
        # most poolers that share sessions are found here, the others by the notification below
        async with _second(connect, backend) as (other, shown):
            if shown or await connection.fetchval(FIND_BACKEND.text) != backend:
                return False
            await other.execute(f"NOTIFY {channel}")
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARD_SECONDS):
                    await heard.wait()
        if not heard.is_set():
            # if this process was delayed: a notification arrives before the answer to the session's next statement
            await connection.fetchval(FIND_BACKEND.text)
            await asyncio.sleep(0.01)
        return heard.is_set()
    finally:
        await connection.remove_listener(channel, hear)


@asynccontextmanager
async def _second(connect: Callable[[], Awaitable[Base]], backend: int) -> AsyncIterator[tuple[Base, bool]]:
    """Open a second connection. Gives it, and whether it has the session of the first."""
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
            other.terminate()  # without waiting
