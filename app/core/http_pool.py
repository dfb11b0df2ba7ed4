"""Connections to servers: how many at once, how one is opened, which idle one may be used again. No httpx.

origin: scheme, host and port. busy: taken for an exchange. idle: between two exchanges, newest used first.
"""

import asyncio
import socket
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from app.core.clock import monotonic
from app.core.http_answer import Broken
from app.core.http_connection import Connection

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host and a port to the IP addresses to dial, in order. Raising means that nothing was sent."""
Admit = Callable[[str], None]
"""Looks at the address of a connected peer before TLS or the first byte; raises OSError to drop it."""


class Origin(NamedTuple):
    """Where a request goes."""

    secure: bool
    host: str
    port: int


class Pool:
    """At most `connections_max` connections, busy and idle together; whoever comes too late waits in line."""

    def __init__(
        self,
        *,
        connections_max: int,
        keep_alive: bool,
        idle_seconds: float,
        ssl_context: ssl.SSLContext,
        resolve: Resolve | None = None,
        admit: Admit | None = None,
    ) -> None:
        self._connections_max = connections_max
        self._keep_alive = keep_alive
        self._idle_seconds = idle_seconds
        self._ssl_context = ssl_context
        self._resolve = resolve
        self._admit = admit
        self._busy_count = 0
        self._busy: set[Connection] = set()
        self._idle: OrderedDict[Connection, Origin] = OrderedDict()
        self._idle_at: dict[Origin, OrderedDict[Connection, None]] = {}
        self._line: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> int:
        """How many exchanges are on, those that still connect included."""
        return self._busy_count

    @property
    def idle(self) -> int:
        """How many connections wait for another exchange."""
        return len(self._idle)

    async def take(self, origin: Origin, *, fresh: bool, wait_seconds: float, connect_seconds: float) -> Connection:
        """A connection of one's own, to be handed to `give_back` or `drop`. Raises Broken with `sent` false."""
        await self._stand_in_line(wait_seconds)
        try:
            connection = None if fresh else self._find_idle(origin)
            if connection is None:
                while self._idle and self._busy_count + len(self._idle) > self._connections_max:
                    self._forget(next(iter(self._idle))).abort()
                connection = await self._open(origin, connect_seconds)
        except BaseException:
            self._leave()
            raise
        self._busy.add(connection)
        return connection

    def give_back(self, connection: Connection, origin: Origin, *, reusable: bool) -> None:
        """The exchange is over; the connection is kept if it and the pool are fit for it."""
        if connection not in self._busy:
            return
        if not (reusable and self._keep_alive and connection.open and not connection.unwritten_bytes):
            self.drop(connection)
            return
        self._busy.discard(connection)
        connection.rest()
        self._idle[connection] = origin
        self._idle_at.setdefault(origin, OrderedDict())[connection] = None
        if self._sweep is None:
            self._sweep = connection.loop.call_later(self._idle_seconds, self._expire)
        self._leave()

    def drop(self, connection: Connection) -> None:
        """The exchange is over, one way or another, and so is its connection. Twice does no harm."""
        connection.abort()
        if connection in self._busy:
            self._busy.discard(connection)
            self._leave()

    async def close(self) -> None:
        """Close everything, exchanges that are on included."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in (*self._busy, *self._idle):
            connection.abort()
        self._idle.clear()
        self._idle_at.clear()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn

    # The line

    async def _stand_in_line(self, wait_seconds: float) -> None:
        if self._busy_count < self._connections_max:
            self._busy_count += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._line[turn] = None
        try:
            async with asyncio.timeout(wait_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # our turn came while we were leaving
                self._leave()
            self._line.pop(turn, None)
            if isinstance(error, TimeoutError):
                raise Broken("no_free_connection", sent=False) from None
            raise

    def _leave(self) -> None:
        while self._line:
            turn, _ = self._line.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self._busy_count -= 1

    # Idle connections

    def _find_idle(self, origin: Origin) -> Connection | None:
        at = self._idle_at.get(origin)
        while at:
            connection = self._forget(next(reversed(at)))
            if monotonic() - connection.idle_since < self._idle_seconds and connection.untouched:
                return connection
            connection.abort()
        return None

    def _forget(self, connection: Connection) -> Connection:
        origin = self._idle.pop(connection, None)
        if origin is not None:
            at = self._idle_at[origin]
            at.pop(connection, None)
            if not at:
                del self._idle_at[origin]
        return connection

    def _expire(self) -> None:
        self._sweep = None
        longest_ago = monotonic() - self._idle_seconds
        while self._idle:
            oldest = next(iter(self._idle))
            if oldest.idle_since > longest_ago:
                wait_seconds = max(oldest.idle_since - longest_ago, 0.01)
                self._sweep = oldest.loop.call_later(wait_seconds, self._expire)
                return
            self._forget(oldest).abort()

    def _lost(self, connection: Connection) -> None:
        self._forget(connection)

    # Opening

    async def _open(self, origin: Origin, connect_seconds: float) -> Connection:
        try:
            async with asyncio.timeout(connect_seconds):
                if self._resolve is None:
                    return await self._dial(origin, origin.host)
                return await self._dial_each(origin, await self._resolve(origin.host, origin.port))
        except TimeoutError:
            reason = "connect_timeout"
        except ssl.SSLError:
            reason = "tls_failed"
        except (socket.gaierror, UnicodeError):
            reason = "dns_failed"
        except ConnectionRefusedError:
            reason = "connect_refused"
        except OSError:
            reason = "connect_failed"
        raise Broken(reason, sent=False)

    async def _dial_each(self, origin: Origin, addresses: Sequence[str]) -> Connection:
        failure: OSError = socket.gaierror("no address")
        for address in addresses:
            try:
                return await self._dial(origin, address)
            except OSError as error:
                failure = error
        raise failure

    async def _dial(self, origin: Origin, address: str) -> Connection:
        loop = asyncio.get_running_loop()
        if self._admit is not None:
            return await self._dial_checked(origin, address, self._admit)
        _, connection = await loop.create_connection(
            lambda: Connection(loop, self._lost),
            address,
            origin.port,
            ssl=self._ssl_context if origin.secure else None,
            server_hostname=origin.host if origin.secure else None,
        )
        return connection

    async def _dial_checked(self, origin: Origin, address: str, admit: Admit) -> Connection:
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, (address, origin.port))
            admit(str(sock.getpeername()[0]))
            _, connection = await loop.create_connection(
                lambda: Connection(loop, self._lost),
                sock=sock,
                ssl=self._ssl_context if origin.secure else None,
                server_hostname=origin.host if origin.secure else None,
            )
        except BaseException:
            sock.close()
            raise
        return connection
