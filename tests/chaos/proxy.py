"""A TCP proxy before Postgres that loses the answers to chosen statements: the client cannot know whether they took."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

_READY = b"Z\x00\x00\x00\x05"
_SSL_REQUEST, _CANCEL_REQUEST = 80877103, 80877102


@dataclass(frozen=True, slots=True)
class Cut:
    """Statements that contain `needle` lose their answer with this probability; connections of ours alone are cut."""

    needle: bytes
    probability: float


class CuttingProxy:
    """Half of the cuts come when the server has answered, so that the statement took; half right after it was sent."""

    def __init__(self, database_url: str, *, chance: random.Random) -> None:
        split = urlsplit(database_url)
        self._url, self._host, self._port = split, split.hostname or "127.0.0.1", split.port or 5432
        self._chance = chance
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.cuts: tuple[Cut, ...] = ()
        self.cut: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """The database's URL by way of this proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        credentials = self._url.netloc.rpartition("@")[0]
        return urlunsplit(self._url._replace(netloc=f"{credentials}@127.0.0.1:{port}"))

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for link in tuple(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def picks(self, sql: bytes) -> bool:
        """Whether the answer to this statement shall be lost."""
        for cut in self.cuts:
            if cut.needle in sql and self._chance.random() < cut.probability:
                self.cut[cut.needle.decode()] += 1
                return True
        return False

    def waits_for_answer(self) -> bool:
        """Whether this cut is to come after the server's answer."""
        return self._chance.random() < 0.5

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        to_server: asyncio.StreamWriter | None = None
        try:
            from_server, to_server = await asyncio.open_connection(self._host, self._port)
            link = _Link(self, to_server)
            async with asyncio.TaskGroup() as group:
                group.create_task(link.up(reader))
                group.create_task(link.down(from_server, writer))
        except* (OSError, asyncio.IncompleteReadError, _Over):
            pass  # one end has hung up, as tests make it: the other end is told below
        finally:
            self._links.discard(task)
            for one in (writer, to_server):
                if one is not None:
                    one.transport.abort()


class _Over(Exception):
    """This connection has come to its end."""


class _Link:
    """One connection on its way through; knows which statement is being executed."""

    def __init__(self, proxy: CuttingProxy, to_server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._to_server = to_server
        self._statements: dict[bytes, bytes] = {}
        self._executing: bytes | None = None
        self._swallowing = False

    async def up(self, reader: asyncio.StreamReader) -> None:
        """From the client, message by message."""
        ours = await self._greet(reader)
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(int.from_bytes(head[1:]) - 4)
            cut = ours and self._is_cut(head[:1], body)
            if cut and self._proxy.waits_for_answer():
                self._swallowing = True
                cut = False
            self._to_server.write(head + body)
            await self._to_server.drain()
            if cut:
                await asyncio.sleep(0.003)
                raise _Over

    async def down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From the server; an answer that is to be lost is waited for, and not passed on."""
        while data := await reader.read(65536):
            if not self._swallowing:
                writer.write(data)
                await writer.drain()
            elif _READY in data:
                raise _Over
        raise _Over

    async def _greet(self, reader: asyncio.StreamReader) -> bool:
        """Pass the untyped first messages on; whether the client is one of our processes."""
        while True:
            head = await reader.readexactly(8)
            length, code = int.from_bytes(head[:4]), int.from_bytes(head[4:])
            body = await reader.readexactly(length - 8)
            self._to_server.write(head + body)
            if code == _CANCEL_REQUEST:
                await self._to_server.drain()
            elif code != _SSL_REQUEST:
                return b"waystation-api" in body or b"waystation-worker" in body

    def _is_cut(self, kind: bytes, body: bytes) -> bool:
        """Follow the extended protocol; asked at the Sync (or simple query) that ends and commits a statement."""
        if kind == b"P":
            name, sql = body.split(b"\0")[:2]
            self._statements[name] = sql
        elif kind == b"B":
            self._executing = self._statements.get(body.split(b"\0")[1])
        elif kind in b"SQ":
            executed, self._executing = (body if kind == b"Q" else self._executing), None
            return executed is not None and self._proxy.picks(executed)
        return False


@asynccontextmanager
async def cutting(database_url: str, *, chance: random.Random) -> AsyncIterator[CuttingProxy]:
    """A proxy for the length of the block; cuts nothing until it is given `cuts`."""
    proxy = CuttingProxy(database_url, chance=chance)
    await proxy.start()
    try:
        yield proxy
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await proxy.stop()
