"""A TCP forwarder that can be cut: what a client sees of a server that goes away and comes back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit


class Forwarder:
    """Forwards to one server; `url` is the given URL, through it."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._open = True
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._delay_seconds = 0.0
        self._answers_left, self._then = 0, self.cut
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        credentials, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{credentials}{at}127.0.0.1:{port}"))

    def cut(self) -> None:
        """From now on nobody gets through, and who was through is thrown out."""
        self._open = False
        for writer in self._writers:
            writer.transport.abort()

    def hush(self) -> None:
        """From now on everybody gets through, and hears nothing."""
        self._speaks.clear()

    def delay(self, seconds: float) -> None:
        """From now on every answer comes so much later."""
        self._delay_seconds = seconds

    def after(self, answers: int, then: Callable[[], None]) -> None:
        """Call this instead of letting the last one of so many answers through, counted from now on."""
        self._answers_left, self._then = answers, then

    def turn_to(self, url: str) -> None:
        """From now on connections go to this server, and who was through is thrown out."""
        self.cut()
        self._parts = urlsplit(url)
        self.mend()

    def mend(self) -> None:
        """Let connections through again, and what was not heard."""
        self._open = True
        self._speaks.set()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer, self._answered))
        finally:
            self._writers -= {writer, back}
            for one in (writer, back):
                one.close()

    async def _answered(self) -> None:
        if self._answers_left > 0:
            self._answers_left -= 1
            if self._answers_left == 0:
                self._then()
        await self._speaks.wait()
        if self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, before: Callable[[], Awaitable[None]] | None = None
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            if before is not None:
                await before()
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def forwarding(url: str) -> AsyncIterator[Forwarder]:
    """A forwarder to the server of this URL."""
    forwarder = Forwarder(url)
    forwarder._server = await asyncio.start_server(forwarder._forward, "127.0.0.1", 0)
    try:
        yield forwarder
    finally:
        forwarder.cut()
        forwarder._server.close()
        await forwarder._server.wait_closed()
