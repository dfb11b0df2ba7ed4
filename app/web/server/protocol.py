"""Inbound HTTP/1.1: uvicorn's parser, with limits on the size and the time of a request, and with refusals in JSON."""

import math
from typing import Any

import httptools

from app.web.deadlines import (
    BODY_WINDOW_SECONDS,
    FAREWELL_SECONDS,
    HEAD_SECONDS,
    IDLE_SECONDS,
    Progress,
)
from app.web.server.answering import Answering
from app.web.server.timing import Phase, TimedProtocol
from app.web.server.upgrade import framing_of, parser_within_body

HEAD_BYTES_MAX = 64 * 1024
"""The most bytes of request line and headers together. The parser itself has no limit."""
LINGER_BYTES_MAX = 16 * 1024 * 1024
"""How much of an unwanted body is read and discarded after the answer. Many clients send the whole body before they read,
and a reset would lose the answer."""
CONNECTIONS_MAX = 10_000
EVICTED_SHARE = 100
"""At CONNECTIONS_MAX, one in so many is closed: those that have waited longest for a request."""
BLANKS = b" \t"
"""Blanks around a header's value do not belong to it (RFC 9110, 5.5)."""


class HeadTooLarge(Exception):
    """The head of a request is larger than HEAD_BYTES_MAX."""


class Protocol(TimedProtocol):
    """One connection."""

    connections_max = CONNECTIONS_MAX

    _keep_alive = True
    _begun = False
    """The first byte of a request has arrived, and its last byte has not."""
    _in_head = True
    _ended = False
    """A request ended in the current read."""
    _head_bytes = 0
    """The parsed bytes of the current head."""
    _framing = b""
    """The framing headers of a request that offers another protocol, until its body is parsed."""

    # ---- the connection

    def connection_made(self, transport: Any) -> None:
        """Start to wait for a request."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._watch(self._since + IDLE_SECONDS)
        if len(self.connections) > self.connections_max and not self._make_room():
            self._refuse(503, "overloaded", "this process has no free connection; try again", retry=1)

    def _make_room(self) -> bool:
        """Close the connections that have waited longest for a request. Returns False if there is none."""
        waiting = [
            connection
            for connection in self.connections
            if isinstance(connection, Protocol)
            and connection is not self
            and connection._phase in (Phase.IDLE, Phase.HEAD)
        ]
        waiting.sort(key=lambda one: one._since)
        for one in waiting[: max(1, self.connections_max // EVICTED_SHARE)]:
            one.transport.abort()
        return bool(waiting)

    def shutdown(self) -> None:
        """Close after the current answer, or if no request arrives within FAREWELL_SECONDS."""
        if self._leaving_at < math.inf:
            return
        self._leaving_at = self.loop.time() + FAREWELL_SECONDS
        self._watch(self._leaving_at)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def cut(self) -> None:
        """End now, since the process ends. A client that waits and has nothing of its answer gets a 503."""
        waits = self._phase is Phase.HEAD or (
            self._phase in (Phase.BODY, Phase.ANSWER) and not self.cycle.response_started and not self.pipeline
        )
        if waits and not self.transport.is_closing():
            self._refuse(
                503,
                "shutting_down",
                "this process is stopping; the request may have been executed: send it again, a submit with the same"
                " Idempotency-Key",
                retry=1,
            )
        elif self._phase is not Phase.LINGER:
            self.transport.abort()

    # ---- requests

    def data_received(self, data: bytes) -> None:
        """Parse received bytes. The parser does not report an incomplete header, so all bytes are counted, too."""
        if self._deaf:
            self._discard(len(data))
            return
        self._ended = False
        self._parse(data)
        if self._begun and not self._deaf and not self.transport.is_closing():
            self._incomplete(len(data))

    def _parse(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._deaf:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserError:
                self.send_400_response("")
                return
            except httptools.HttpParserUpgrade as stopped:
                rest = rest[stopped.args[0] :]
                if self._framing:
                    self.parser = parser_within_body(self, self._framing)
                    self._framing = b""

    def _incomplete(self, size: int) -> None:
        """Handle a request that has begun and is not complete."""
        if self._in_head:
            if not self._ended:
                self._came_bytes += size
                if self._came_bytes > HEAD_BYTES_MAX:
                    self.send_400_response("")
                    return
            if self._phase is Phase.IDLE:
                self._enter(Phase.HEAD, HEAD_SECONDS)
        elif self._progress is None:
            # an answer before the end of the body ends the connection
            self._keep_alive, self.cycle.keep_alive = self.cycle.keep_alive, False
            self.cycle.transport = Answering(self.transport, self._answered_early)
            self._progress = Progress(self.loop.time())
            self._enter(Phase.BODY, BODY_WINDOW_SECONDS)
        else:
            self._progress.count += size

    def _discard(self, size: int) -> None:
        self._came_bytes += size
        if self._phase is not Phase.LINGER or self._came_bytes > LINGER_BYTES_MAX:
            self.flow.pause_reading()

    def on_message_begin(self) -> None:
        """Handle the first byte of a request."""
        if self._framing:
            return
        self._begun = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Handle a piece of the target."""
        if self._framing:
            return
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Handle a complete header."""
        if self._framing:
            return
        self._count(len(name) + len(value) + 4)
        if self._in_head:  # else a trailer after the body, which must not count as a header (RFC 9110, 6.5.1)
            super().on_header(name, value.strip(BLANKS))  # the parser strips only leading blanks

    def on_headers_complete(self) -> None:
        """Handle the end of the head."""
        if self._framing:
            return
        if self.parser.should_upgrade():
            self._framing = framing_of(self.headers)
        self._in_head = False
        self._came_bytes = self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Handle the end of the body. Another head comes next."""
        if self._framing:
            return
        self._in_head = self._ended = True
        self._begun = False
        self._phase = Phase.ANSWER
        if self._progress is not None:
            self._progress = None
            if not self.cycle.response_started:
                self.cycle.keep_alive = self._keep_alive and self._leaving_at == math.inf
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAX:
            raise HeadTooLarge

    # ---- answers

    def on_response_complete(self) -> None:
        """Start the next request's answer, or wait for a request. uvicorn's own method sets a timer each time."""
        self.server_state.total_requests += 1
        if self.transport.is_closing() or self._phase is Phase.LINGER:
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._begun:
            self._enter(Phase.HEAD, HEAD_SECONDS)
        else:
            self._phase = Phase.IDLE
            self._since = self.loop.time()

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid HTTP. It has no route, so the answer has the members of both surfaces' errors."""
        if max(self._head_bytes, self._came_bytes) > HEAD_BYTES_MAX:
            self._refuse(431, "headers_too_large", f"request line and headers are larger than {HEAD_BYTES_MAX} bytes")
        else:
            self._refuse(400, "invalid_http", "not a valid HTTP request")
