"""Inbound HTTP/1.1: uvicorn's parser, with bounds on the size and the time of a request, and its own refusals in JSON."""

import math
from typing import Any

import httptools

from app.core.http_answering import Answering
from app.core.http_deadlines import (
    BODY_WINDOW_SECONDS,
    FAREWELL_SECONDS,
    HEAD_SECONDS,
    IDLE_SECONDS,
    Progress,
)
from app.core.http_timing import Phase, TimedProtocol
from app.core.http_upgrade import framing_of, parser_within_body

HEAD_BYTES_MAX = 64 * 1024
"""Request line and headers together; the parser itself gathers them without end."""
LINGER_BYTES_MAX = 16 * 1024 * 1024
"""Of a body that nobody wants, as much is thrown away after the answer, unparsed: many clients send all of it before they
read, and a reset would take the answer from them."""
CONNECTIONS_MAX = 10_000
EVICTED_SHARE = 100
"""At CONNECTIONS_MAX, one in so many is closed: those that have waited longest for a request."""
BLANKS = b" \t"
"""Around a header's value, and no part of it (RFC 9110, 5.5)."""


class HeadTooLarge(Exception):
    """The head of a request has outgrown HEAD_BYTES_MAX."""


class Protocol(TimedProtocol):
    """One connection."""

    connections_max = CONNECTIONS_MAX

    _keep_alive = True
    _begun = False
    """The first byte of a message has come, and its last one has not."""
    _in_head = True
    _ended = False
    """A message ended in the present read."""
    _head_bytes = 0
    """Of the present head, as far as it is parsed."""
    _framing = b""
    """Of a request that offers another protocol, until its body is parsed."""

    # ---- the connection

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._watch(self._since + IDLE_SECONDS)
        if len(self.connections) > self.connections_max and not self._make_room():
            self._refuse(503, "overloaded", "this process has no free connection; try again", retry=1)

    def _make_room(self) -> bool:
        """Close the connections that have waited longest for a request; False where there is none."""
        waiting = [
            one
            for one in self.connections
            if isinstance(one, Protocol) and one is not self and one._phase in (Phase.IDLE, Phase.HEAD)
        ]
        waiting.sort(key=lambda one: one._since)
        for one in waiting[: max(1, self.connections_max // EVICTED_SHARE)]:
            one.transport.abort()
        return bool(waiting)

    def shutdown(self) -> None:
        """The process stops: close after the present answer, or where no request comes within FAREWELL_SECONDS."""
        if self._leaving_at < math.inf:
            return
        self._leaving_at = self.loop.time() + FAREWELL_SECONDS
        self._watch(self._leaving_at)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def cut(self) -> None:
        """The process ends now: tell a client that waits for an answer, and has nothing of it yet."""
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

    # ---- what comes in

    def data_received(self, data: bytes) -> None:
        """Parse; a header that does not end is not handed on, so what has come is counted, too."""
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
        """A request has begun and is not whole."""
        if self._in_head:
            if not self._ended:
                self._came_bytes += size
                if self._came_bytes > HEAD_BYTES_MAX:
                    self.send_400_response("")
                    return
            if self._phase is Phase.IDLE:
                self._enter(Phase.HEAD, HEAD_SECONDS)
        elif self._progress is None:
            # until the body is whole, an answer is followed by the end of the connection
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
        """The first byte of a request."""
        if self._framing:
            return
        self._begun = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        if self._framing:
            return
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header."""
        if self._framing:
            return
        self._count(len(name) + len(value) + 4)
        if self._in_head:  # else a trailer: it comes after the body and must not pass for a header (RFC 9110, 6.5.1)
            super().on_header(name, value.strip(BLANKS))  # the parser drops leading blanks only

    def on_headers_complete(self) -> None:
        """The end of the head."""
        if self._framing:
            return
        if self.parser.should_upgrade():
            self._framing = framing_of(self.headers)
        self._in_head = False
        self._came_bytes = self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The end of the body; what comes next is another head."""
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

    # ---- what goes out

    def on_response_complete(self) -> None:
        """An answer is sent: begin the next request's, or wait for one. uvicorn's own sets a timer each time."""
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
        """What is no HTTP gets no route; its answer has the members of both surfaces' errors."""
        if max(self._head_bytes, self._came_bytes) > HEAD_BYTES_MAX:
            self._refuse(431, "headers_too_large", f"request line and headers are larger than {HEAD_BYTES_MAX} bytes")
        else:
            self._refuse(400, "invalid_http", "not a valid HTTP request")
