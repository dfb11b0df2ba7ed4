"""A server whose answers are bytes: each connection is handed to a script, which may misbehave at will.

Its book: how many connections were opened, and what was received on each.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Script = Callable[["Peer"], Awaitable[None]]


def answer(body: bytes = b"{}", status: str = "200 OK", *headers: str) -> bytes:
    """A well-formed answer with a content-length."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


@dataclass
class Peer:
    """One accepted connection, seen from the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytearray = field(default_factory=bytearray)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(self) -> bytes:
        """One whole request, head and body; b"" once the client has closed."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.received += head
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = await self.reader.readexactly(length)
        self.received += body
        return head + body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_client_leaves(self) -> None:
        """Wait for the client's end; what it sends until then is kept."""
        try:
            while data := await self.reader.read(65536):
                self.received += data
        except (ConnectionError, ssl.SSLError):
            self.received += b""
        self.ended.set()

    def reset(self) -> None:
        """Close with a TCP RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class RawServer:
    """Where it listens, and what happened there."""

    port: int
    peers: list[Peer] = field(default_factory=list)
    gone: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def until_gone(self) -> None:
        """Return once one more connection is closed or reset on this side."""
        await self.gone.acquire()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def received(self) -> bytes:
        return b"".join(peer.received for peer in self.peers)


@asynccontextmanager
async def raw_server(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[RawServer]:
    """Serve every connection by `script`; it is closed when the script returns."""
    book = RawServer(0)
    tasks: set[asyncio.Task[None]] = set()

    async def run(peer: Peer) -> None:
        try:
            await script(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            peer.ended.set()
        finally:
            peer.writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await peer.writer.wait_closed()
            book.gone.release()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        book.peers.append(peer)
        task = asyncio.get_running_loop().create_task(run(peer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, host, 0, ssl=tls, backlog=512)
    book.port = server.sockets[0].getsockname()[1]
    try:
        yield book
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for peer in book.peers:
            with contextlib.suppress(AttributeError):  # Python 3.11.2: with TLS, where it was closed twice
                peer.writer.transport.abort()
        await asyncio.sleep(0)


def in_full(*answers: bytes) -> Script:
    """Answer one request after the other with these, then wait for the client to leave."""

    async def script(peer: Peer) -> None:
        for data in answers:
            if not await peer.request():
                break
            await peer.send(data)
        await peer.until_client_leaves()

    return script


def cut_after(data: bytes, *, reset: bool = False) -> Script:
    """Read one request, send these bytes and hang up."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if data:
            await peer.send(data)
        if reset:
            peer.reset()

    return script


def hang_after(data: bytes = b"") -> Script:
    """Read one request, send these bytes and fall silent."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if data:
            await peer.send(data)
        await peer.until_client_leaves()

    return script


def unused_port() -> int:
    """A port of the loopback on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
