"""One HTTP/1.1 connection: reads requests from the socket and writes answers, or spoils them byte by byte.

A request has no task: it is answered in the callback that completed it, unless its answer must come later. It is a
protocol of its own, not a server's application, so that a fault can reset the connection or stop half-way.
"""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from app.core.logs.log import get_logger
from app.simulator.http.http import Answer, Cut, Later, Reply, Request, error
from app.simulator.simulator import Simulator
from app.simulator.surface.routes import answer

log = get_logger(__name__)

_WAITING_MAX = 100
"""The most pipelined requests that wait behind a late answer."""
_FLUSH_SECONDS = 0.05
"""The time between the last bytes of a cut answer and the reset, so that the client receives them."""
_JOIN_BYTES_MAX = 65536


class Connection(asyncio.Protocol):
    """Answers the requests of one connection, one at a time and in order."""

    def __init__(self, sim: Simulator, open_connections: "set[Connection]") -> None:
        self._sim = sim
        self._open = open_connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._busy = False
        self._timers: set[asyncio.TimerHandle] = set()
        self.on_message_begin()

    # From the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._waiting.clear()
        if not self._timers:
            self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self._transport is not None:
                self._write(error(400, "Bad request"))
                self._transport.close()

    def stop(self) -> None:
        """Close immediately. Answers that are not yet made are dropped."""
        for timer in self._timers:
            timer.cancel()
        if self._transport is not None:
            self._transport.abort()

    # From the parser

    def on_message_begin(self) -> None:
        self._url = b""
        self._host = self._key = self._content_type = b""
        self._bearer = self._expects = False
        self._chunks: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        value = value.strip(b" \t")
        match name.lower():
            case b"x-api-key":
                self._key = value
            case b"host":
                self._host = value
            case b"content-type":
                self._content_type = value
            case b"authorization":
                self._bearer = True
            case b"expect":
                self._expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        if self._expects and self._transport is not None and not self._busy:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= self._sim.config.body_bytes_max:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(
            method=self._parser.get_method().decode(),
            path=path,
            query=query,
            host=self._host.decode("latin-1"),
            key=self._key.decode("latin-1"),
            bearer=self._bearer,
            content_type=self._content_type,
            body=b"".join(self._chunks),
            too_large=self._size > self._sim.config.body_bytes_max,
        )
        keep_alive = self._parser.should_keep_alive()
        if not self._busy:
            self._answer(request, keep_alive)
        elif len(self._waiting) < _WAITING_MAX:
            self._waiting.append((request, keep_alive))
        else:
            self.stop()

    # To the socket

    def _answer(self, request: Request, keep_alive: bool) -> None:
        self._deliver(self._made(lambda: answer(self._sim, request)), keep_alive)

    def _made(self, make: Callable[[], Reply]) -> Reply:
        """Return what `make` returns, or 500 if it raises."""
        try:
            return make()
        except Exception:
            log.exception("simulator.broken")
            return error(500, "Internal server error")

    def _deliver(self, reply: Reply, keep_alive: bool) -> None:
        if isinstance(reply, Answer):
            self._busy = False
            self._finish(reply, keep_alive)
        elif isinstance(reply, Later):
            self._busy = True
            self._after(reply.seconds, lambda: self._come_due(reply, keep_alive))
        else:
            self._busy = True
            self._cut(reply)

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        """Like call_later, but the server keeps track of this connection until then."""

        def ring() -> None:
            self._timers.discard(timer)
            call()
            if self._transport is None and not self._timers:
                self._open.discard(self)

        timer = self._loop.call_later(seconds, ring)
        self._timers.add(timer)

    def _come_due(self, later: Later, keep_alive: bool) -> None:
        self._deliver(self._made(later.make), keep_alive)
        while self._waiting and not self._busy:
            self._answer(*self._waiting.popleft())

    def _finish(self, reply: Answer, keep_alive: bool) -> None:
        if self._transport is None:
            return
        self._write(reply)
        if not keep_alive:
            self._transport.close()
        elif reply.close_idle_seconds is not None:
            self._after(reply.close_idle_seconds, self._close)

    def _write(self, reply: Answer) -> None:
        assert self._transport is not None
        self._sim.stats.statuses[reply.status] += 1
        head = reply.head(self._told_now())
        if len(reply.body) <= _JOIN_BYTES_MAX:
            self._transport.write(head + reply.body)
        else:
            self._transport.write(head)
            self._transport.write(reply.body)

    def _cut(self, cut: Cut) -> None:
        if self._transport is None:
            return
        if cut.answer is not None and cut.after != "nothing":
            head, body = cut.answer.head(self._told_now()), cut.answer.body
            part = head[: len(head) // 2] if cut.after == "header" else head + body[: len(body) // 2]
            self._transport.write(part)
            if cut.how == "reset":
                self._after(_FLUSH_SECONDS, self._reset_when_sent)
                return
        if cut.how == "reset":
            self._reset()
        elif cut.how == "close":
            self._close()

    def _told_now(self) -> float:
        return self._sim.now() + self._sim.config.clock_offset_seconds

    def _reset_when_sent(self) -> None:
        """Reset once the client's machine has the whole part, however slowly the client reads: a reset discards the rest."""
        if self._transport is not None and _unsent_bytes(self._transport) > 0:
            self._after(_FLUSH_SECONDS, self._reset_when_sent)
        else:
            self._reset()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _reset(self) -> None:
        """End with RST instead of FIN."""
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self._transport.abort()


def _unsent_bytes(transport: asyncio.Transport) -> int:
    """What waits in this process, or else what the other side has not yet acknowledged."""
    waiting = transport.get_write_buffer_size()
    if waiting:
        return waiting
    found = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(found, sys.byteorder)
