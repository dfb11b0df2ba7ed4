"""The database's two doors: `transaction()` writes, `snapshot()` reads; nothing else opens one, nothing else commits."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Self, TypeVar
from uuid import UUID

import asyncpg

from app.core.database.connections import Check, Opener, Terms
from app.core.database.database_url import connect_arguments
from app.core.database.pooler import LOST, SHARED, OwnNames
from app.core.database.read_share import ReadShare
from app.core.database.schema import SchemaGate
from app.core.database.session import ReadSession, Row, Session
from app.core.errors import StatementTimedOut, StoreFull, StoreUnavailable, TooManyReads, WrongConnection

READONLY_ROLE = "waystation_readonly"

ACQUIRE_SECONDS = 5.0
STATEMENT_SECONDS = 30.0

AWAY = (
    OSError,
    ssl.SSLError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresIOError,
    asyncpg.InternalClientError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TransactionRollbackError,
)
"""What asyncpg raises while Postgres is down, restarting or failing over; and when it has
rolled us back for another's sake (a deadlock's victim): in each case the same may succeed a moment later."""

Result = TypeVar("Result")


@contextmanager
def _translated(on_wrong: Callable[[WrongConnection], None] | None) -> Iterator[None]:
    try:
        yield
    except LOST as error:
        # a pooler that was set to pool_mode = transaction after this connection was proven
        wrong = WrongConnection(SHARED)
        if on_wrong is not None:
            on_wrong(wrong)
        raise wrong from error
    except asyncpg.InsufficientResourcesError as error:
        raise StoreFull from error
    except asyncpg.QueryCanceledError as error:
        raise StatementTimedOut from error
    except AWAY as error:
        raise StoreUnavailable from error
    except asyncpg.InterfaceError as error:
        # "connection is closed" and its like arrive as the class that also says "wrong number of arguments"
        if "closed" in str(error) or "released" in str(error):
            raise StoreUnavailable from error
        raise


async def _no_reset(_connection: "asyncpg.Connection[Row]") -> None:
    """asyncpg has rolled back by now; RESET ALL would be one more round trip a release, and would drop our role."""


@asynccontextmanager
async def _begun(connection: "asyncpg.pool.PoolConnectionProxy[Row]", first: str) -> AsyncIterator[None]:
    """A transaction that begins with these statements, for which asyncpg's own has no place."""
    try:
        await connection.execute(f"BEGIN; {first}")
        yield
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK;")
        raise
    await connection.execute("COMMIT;")


class Database:
    """One process's pools: a few connections that write, and a few that cannot."""

    def __init__(
        self,
        writers: "asyncpg.Pool[Row]",
        readers: "asyncpg.Pool[Row]",
        *,
        shares: tuple[ReadShare, ReadShare],
        on_wrong: Callable[[WrongConnection], None] | None = None,
    ) -> None:
        """`shares`: what a tenant may hold of either. `on_wrong`: see `open`."""
        self._on_wrong = on_wrong
        self._writers = writers
        self._readers = readers
        self._write_share, self._share = shares

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        name: str,
        writers_max: int,
        readers_max: int,
        statement_seconds: float = STATEMENT_SECONDS,
        read_seconds: float | None = None,
        on_wrong: Callable[[WrongConnection], None] | None = None,
        proven: bool = False,
        schema: SchemaGate | None = None,
        check: Check | None = None,
    ) -> Self:
        """Pools that connect when first used, so a process can start while Postgres is away.

        `statement_seconds`: when Postgres stops a statement; `read_seconds`: the same for those of `snapshot`.
        `on_wrong`: called when a connection lacks the role or the time-outs; a process must then stop. `proven`:
        whether a process that works with this URL already opens it; a refused login is then waited for, as in a failover.
        `schema`: lets nothing be read or written while the schema does not fit. `check`: see Opener; of the connections
        that write.
        Raises ValueError where the URL cannot be one.
        """
        arguments = connect_arguments(url)

        def pool(size: int, terms: Terms) -> "asyncpg.Pool[Row]":
            opener = Opener(terms, on_wrong, proven=proven, schema=schema, check=None if terms.read_only else check)
            return asyncpg.create_pool(
                **arguments,
                min_size=0,
                max_size=size,
                connect=opener.connect,
                connection_class=OwnNames,
                init=opener.prepare,
                reset=_no_reset,
                command_timeout=terms.statement_seconds + 5,
                server_settings={
                    **terms.parameters,
                    "application_name": f"waystation-{name}",
                    "jit": "off",
                    # a group's size is no reason to plan its statement anew, and the larger ones cost 0.7 ms each time
                    "plan_cache_mode": "auto" if terms.read_only else "force_generic_plan",
                },
            )

        database = cls(
            pool(writers_max, Terms(statement_seconds, read_only=False)),
            pool(readers_max, Terms(read_seconds or statement_seconds, read_only=True)),
            shares=(ReadShare(writers_max), ReadShare(readers_max)),
            on_wrong=on_wrong,
        )
        await database._writers
        await database._readers
        return database

    async def prove(self) -> None:
        """Have a connection of each kind opened, and with that proven. Raises WrongConnection, StoreUnavailable."""
        with _translated(self._on_wrong):
            async with self._writers.acquire(timeout=ACQUIRE_SECONDS), self._readers.acquire(timeout=ACQUIRE_SECONDS):
                return

    async def prove_when_there(self) -> None:
        """The same as soon as Postgres is there: what is wrong must show before somebody asks for something. Nothing is raised:
        `on_wrong` is told."""
        with suppress(WrongConnection):
            await retry_until_stored(self.prove)

    @asynccontextmanager
    async def transaction_of(self, tenant_id: UUID) -> AsyncIterator[Session]:
        """As `transaction`, on a tenant's request: it may hold a quarter of the connections at a time, for somebody may have
        locked what it is about to change. Its further ones wait for its own."""
        try:
            await self._write_share.take(tenant_id, point=False)
        except TooManyReads:
            raise StoreUnavailable("too many concurrent changes of this tenant; send fewer at a time") from None
        try:
            async with self.transaction() as session:
                yield session
        finally:
            self._write_share.give(tenant_id)

    @asynccontextmanager
    async def transaction(self, *, first: str = "") -> AsyncIterator[Session]:
        """A transaction: commits on exit, rolls back on an exception; raises StoreUnavailable while Postgres is away.

        `first`: statements without parameters that go along with BEGIN, in its round trip; what they give is dropped.
        A StoreUnavailable that comes out of the commit leaves open whether it took; blocks that may be run again must
        therefore be guarded by what they find in the rows.
        """
        with _translated(self._on_wrong):
            async with (
                self._writers.acquire(timeout=ACQUIRE_SECONDS) as connection,
                _begun(connection, first) if first else connection.transaction(),
            ):
                yield Session(connection)

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Session]:
        """A transaction of exactly one statement, which is one round trip instead of three."""
        with _translated(self._on_wrong):
            async with self._writers.acquire(timeout=ACQUIRE_SECONDS) as connection:
                yield Session(connection)

    @asynccontextmanager
    async def snapshot(self, tenant_id: UUID | None = None, *, point: bool = False) -> AsyncIterator[ReadSession]:
        """Reads on a connection that refuses to write; each statement sees what is committed when it begins.

        `tenant_id`: on whose request. A tenant may hold a quarter of the connections at a time, or half of them with
        reads of a single row (`point`); its further reads wait for its own. Raises TooManyReads, StatementTimedOut,
        StoreUnavailable.
        """
        if tenant_id is not None:
            await self._share.take(tenant_id, point=point)
        try:
            with _translated(self._on_wrong):
                async with self._readers.acquire(timeout=ACQUIRE_SECONDS) as connection:
                    yield ReadSession(connection)
        finally:
            if tenant_id is not None:
                self._share.give(tenant_id)

    async def close(self) -> None:
        """Close all connections, by force where they do not end within a second."""
        for pool in (self._writers, self._readers):
            try:
                async with asyncio.timeout(1):
                    await pool.close()
            except TimeoutError:
                pool.terminate()


async def retry_until_stored(write: Callable[[], Awaitable[Result]]) -> Result:
    """Run a write again and again while Postgres is away: for what must not be forgotten, guarded by what it finds.

    Raises WrongConnection, which no waiting mends.
    """
    pause_seconds = 0.05
    while True:
        try:
            return await write()
        except WrongConnection:
            raise
        except StoreUnavailable:
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, 1.0)


READ_SECONDS = 20.0
"""How long a read waits for a store that is briefly away before it says so."""

NOT_AGAIN = (StatementTimedOut, TooManyReads, WrongConnection)
"""Where the same read would fail again, and only add to the load."""


async def retry_read(read: Callable[[], Awaitable[Result]], *, seconds: float = READ_SECONDS) -> Result:
    """A read that waits for Postgres to come back; raises StoreUnavailable once `seconds` are over, NOT_AGAIN at once."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await read()
                except NOT_AGAIN:
                    raise
                except StoreUnavailable:
                    await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise StoreUnavailable from error
