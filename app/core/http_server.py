"""Inbound HTTP/1.1: uvicorn's parser, with bounds on the size and the time of a request, and its own refusals in JSON.

A connection is in one phase at a time:

    IDLE ──first byte──> HEAD ──end of the head──> BODY ──end of the body──> ANSWER ──end of the answer──> IDLE
    BODY ──too slow──> ANSWER (408)        any ──answer sent, body unread──> LINGER ──> closed

HEAD, BODY and LINGER have a deadline, IDLE has a longer one, ANSWER has none: it may take as long as a client waits for a
job. A request that comes whole in one read goes from IDLE to ANSWER and touches no timer.
"""

import math
from enum import Enum
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.core.http_answering import Answering, last_answer
from app.core.http_deadlines import (
    BODY_WINDOW_SECONDS,
    FAREWELL_SECONDS,
    HEAD_SECONDS,
    IDLE_SECONDS,
    LINGER_SECONDS,
    UNREAD_SECONDS,
    Progress,
)
from app.core.http_unread import has_unread
from app.core.http_upgrade import framing_of, parser_within_body
from app.core.log import get_logger
from app.core.requests import CUT, BodyTooSlow

log = get_logger(__name__)

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


class Phase(Enum):
    """What a connection waits for."""

    IDLE = "the first byte of a request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    ANSWER = "our answer"
    LINGER = "the client to read the answer"


class Protocol(HttpToolsProtocol):
    """One connection."""

    connections_max = CONNECTIONS_MAX

    _phase = Phase.IDLE
    _since = 0.0
    """When the phase began."""
    _look_at = math.inf
    """When the timer goes off. There is one for each connection, and reads do not move it."""
    _timer: Any = None
    _progress: Progress | None = None
    """Of the body that is coming in."""
    _written: Progress | None = None
    """Of an answer that the client takes slowly."""
    _keep_alive = True
    _leaving_at = math.inf
    """When a connection without a request is closed because the process stops."""
    _deaf = False
    """What still comes is thrown away."""
    _begun = False
    """The first byte of a message has come, and its last one has not."""
    _in_head = True
    _ended = False
    """A message ended in the present read."""
    _came_bytes = 0
    """Of the present head, in whole reads that held nothing else."""
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
            self._refuse(503, "overloaded", "this process has as many connections as it takes; try again", retry=1)

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

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

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
                "this process is stopping; the request may have been carried out: send it again, a submit with the same"
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

    def pause_writing(self) -> None:
        """The client does not take its answer as fast as it is made."""
        super().pause_writing()
        now = self.loop.time()
        self._written = Progress(now, self.transport.get_write_buffer_size())
        self._watch(now + IDLE_SECONDS)

    def resume_writing(self) -> None:
        """It has taken most of it."""
        super().resume_writing()
        self._written = None

    def _answered_early(self) -> None:
        """The answer is written, and the connection is to end after it."""
        if self._progress is None:
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Send the end of our side, and wait for the client to read it: to close with bytes unread is to reset the
        connection, which may take the answer from the client."""
        if self.transport.is_closing():
            return
        self._deaf, self._came_bytes = True, 0
        self._enter(Phase.LINGER, LINGER_SECONDS)
        self.transport.write_eof()
        self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets no route; its answer has the members of both surfaces' errors."""
        if max(self._head_bytes, self._came_bytes) > HEAD_BYTES_MAX:
            self._refuse(431, "headers_too_large", f"the head of the request has over {HEAD_BYTES_MAX} bytes")
        else:
            self._refuse(400, "invalid_http", "this is no valid HTTP request")

    def _refuse(self, status: int, code: str, words: str, *, retry: int | None = None) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # whatever it still has to say would come after ours
            self.cycle.message_event.set()
        self.transport.write(last_answer(status, code, words, retry=retry))
        self._linger()

    # ---- time

    def _enter(self, phase: Phase, seconds: float) -> None:
        self._phase = phase
        self._since = self.loop.time()
        self._watch(self._since + seconds)

    def _watch(self, at: float) -> None:
        """Look at this connection at `at`, if not before."""
        if at < self._look_at:
            if self._timer is not None:
                self._timer.cancel()
            self._look_at = at
            self._timer = self.loop.call_at(at, self._look)

    def _look(self) -> None:
        self._timer, self._look_at = None, math.inf
        at = self._judge(self.loop.time())
        if at is not None:
            self._watch(at)

    def _judge(self, now: float) -> float | None:
        """End what has taken too long. When to look again; None: this connection is over."""
        lingers = self._phase is Phase.LINGER
        if (
            self._written is not None
            or self.transport.is_closing()
            or (lingers and self.transport.get_write_buffer_size())
        ):
            return self._judge_reader(now)
        if lingers:
            self.transport.abort()
            return None
        if self._phase is Phase.IDLE:
            until = min(self._since + IDLE_SECONDS, self._leaving_at)
            if now < until:
                return until
            if has_unread(self.transport):
                return now + UNREAD_SECONDS
            self._end()
            return None
        if self._phase is Phase.HEAD:
            return self._judge_head(now)
        if self._phase is Phase.BODY:
            return self._judge_body(now)
        return now + IDLE_SECONDS

    def _judge_head(self, now: float) -> float:
        earlier: RequestResponseCycle | None = self.cycle
        if earlier is not None and not earlier.response_complete:
            self._since = now  # the time for a pipelined head counts from the answer before it
        elif now >= self._since + HEAD_SECONDS:
            log.info("http.head_too_slow")
            self._refuse(408, "head_too_slow", f"the head of the request took longer than {HEAD_SECONDS:g} s")
            return now + LINGER_SECONDS
        return self._since + HEAD_SECONDS

    def _judge_body(self, now: float) -> float:
        assert self._progress is not None
        due = self._progress.looked_at + BODY_WINDOW_SECONDS
        if now < due:
            return due  # the timer was set for something else
        if not self._progress.too_slow(now, waiting=self.flow.read_paused):
            return now + BODY_WINDOW_SECONDS
        # the application finds the reason where the rest of the body should be, and answers with it
        self._deaf = True
        self._phase = Phase.ANSWER
        self.cycle.scope["state"][CUT] = BodyTooSlow()
        self.cycle.more_body = False
        self.cycle.message_event.set()
        return now + IDLE_SECONDS

    def _judge_reader(self, now: float) -> float | None:
        """Of a client that has not taken its answer."""
        left = self.transport.get_write_buffer_size()
        if self._written is None:
            self._written = Progress(now, left)
        elif now < self._written.looked_at + BODY_WINDOW_SECONDS:
            return self._written.looked_at + BODY_WINDOW_SECONDS
        elif self._written.stuck(now, left):
            log.info("http.reader_too_slow", bytes_left=left)
            self.transport.abort()
            return None
        return now + BODY_WINDOW_SECONDS

    def _end(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()
