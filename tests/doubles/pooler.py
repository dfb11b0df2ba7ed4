"""A connection pooler that drops start-up parameters, as PgBouncer with `ignore_startup_parameters` does."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Collection
from urllib.parse import urlsplit, urlunsplit

SSL_REQUEST, GSS_REQUEST, PROTOCOL_3 = 80877103, 80877104, 196608
KEPT = frozenset({"user", "database", "client_encoding", "application_name"})
"""What PgBouncer itself takes."""
SETTINGS = ("role", "statement_timeout", "idle_in_transaction_session_timeout", "default_transaction_read_only")


class Pooler:
    """Between clients and one server; `url` is the given URL, through it. `away`: it takes no connections."""

    def __init__(self, url: str, dropped: Collection[str] | None, *, refuses: bool) -> None:
        self._parts = urlsplit(url)
        self._dropped = dropped
        self._refuses = refuses
        self.away = False
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        credentials, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{credentials}{at}127.0.0.1:{port}"))

    def cut(self) -> None:
        """Throw out all who are connected; new connections are taken."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                if not self.away:
                    await self._through(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            (length,) = struct.unpack("!i", await reader.readexactly(4))
            packet = await reader.readexactly(length - 4)
            (code,) = struct.unpack("!i", packet[:4])
            if code not in (SSL_REQUEST, GSS_REQUEST):
                break
            writer.write(b"N")
        if code == PROTOCOL_3:
            self.connections += 1
            asked = packet[4:].rstrip(b"\0").split(b"\0")
            parameters = dict(zip(asked[::2], asked[1::2], strict=True))
            foreign = [name for name in parameters if self._is_dropped(name.decode())]
            if foreign and self._refuses:
                return self._refuse(writer, f"unsupported startup parameter: {foreign[0].decode()}")
            kept = [name + b"\0" + value + b"\0" for name, value in parameters.items() if name not in foreign]
            packet = struct.pack("!i", code) + b"".join(kept) + b"\0"
        there, back = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        back.write(struct.pack("!i", len(packet) + 4) + packet)
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            back.close()
        return None

    def _is_dropped(self, name: str) -> bool:
        return name not in KEPT if self._dropped is None else name in self._dropped

    def _refuse(self, writer: asyncio.StreamWriter, message: str) -> None:
        fields = b"".join(b"%c%b\0" % field for field in ((b"S", b"FATAL"), (b"C", b"08P01"), (b"M", message.encode())))
        writer.write(b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def pooling(url: str, dropped: Collection[str] | None = None, *, refuses: bool = False) -> AsyncIterator[Pooler]:
    """A pooler before the server of this URL. `dropped`: the parameters it drops, by default all that PgBouncer does not
    take itself. `refuses`: it refuses a connection with one of them instead."""
    pooler = Pooler(url, dropped, refuses=refuses)
    pooler._server = await asyncio.start_server(pooler._serve, "127.0.0.1", 0)
    try:
        yield pooler
    finally:
        pooler.cut()
        pooler._server.close()
