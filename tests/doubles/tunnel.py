"""A proxy for HTTP on a real socket: CONNECT and whole URLs, with a password if it wants one, and it may die at any point."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.doubles.raw_server import Peer, RawServer, raw_server


@dataclass
class Tunnel:
    """password: `user:password`, which it asks for. dies: `asked` (before it answers CONNECT) or `open` (after it)."""

    password: str | None = None
    dies: str | None = None
    asked: list[str] = field(default_factory=list)
    server: RawServer | None = None

    def url(self, user: str = "") -> str:
        """Where it listens, with what is to be said to it."""
        assert self.server is not None
        return self.server.url.replace("http://", f"http://{user}@" if user else "http://")

    async def serve(self, peer: Peer) -> None:
        """One connection."""
        head = await peer.reader.readuntil(b"\r\n\r\n")
        peer.received += head
        line, *headers = head.decode().split("\r\n")
        method, target, _ = line.split()
        self.asked.append(f"{method} {target}")
        if self.dies == "asked":
            return
        if self.password is not None:
            wanted = f"proxy-authorization: basic {base64.b64encode(self.password.encode()).decode()}".lower()
            if wanted not in (header.lower() for header in headers):
                await peer.send(b"HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n")
                return
        place = urlsplit(f"//{target}" if method == "CONNECT" else target)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            if method == "CONNECT":
                await peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                writer.write(head.replace(target.encode(), (place.path or "/").encode(), 1))
            if self.dies != "open":
                await asyncio.gather(_pump(peer.reader, writer), _pump(reader, peer.writer))
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof() if writer.can_write_eof() else writer.close()


@asynccontextmanager
async def tunnel(*, password: str | None = None, dies: str | None = None) -> AsyncIterator[Tunnel]:
    """It runs."""
    made = Tunnel(password, dies)
    async with raw_server(made.serve) as made.server:
        yield made
