"""Timeouts of a connection in each phase, and its end.

A connection is in one phase at a time:

    IDLE ──first byte──> HEAD ──end of the head──> BODY ──end of the body──> ANSWER ──end of the answer──> IDLE
    BODY ──too slow──> ANSWER (408)        any ──answer sent, body unread──> LINGER ──> closed

HEAD, BODY and LINGER have a timeout, IDLE has a longer one. ANSWER has none, since a client may wait long for a job. A
request that arrives in one read goes from IDLE to ANSWER and changes no timer.
"""

import math
from enum import Enum
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.core.logs.log import get_logger
from app.web.deadlines import (
    BODY_WINDOW_SECONDS,
    HEAD_SECONDS,
    IDLE_SECONDS,
    LINGER_SECONDS,
    UNREAD_SECONDS,
    Progress,
)
from app.web.requests import CUT, BodyTooSlow
from app.web.server.answering import last_answer
from app.web.server.unread import has_unread

log = get_logger(__name__)


class Phase(Enum):
    """What a connection waits for."""

    IDLE = "the first byte of a request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    ANSWER = "our answer"
    LINGER = "the client to read the answer"


class TimedProtocol(HttpToolsProtocol):
    """A connection's phases and its timer."""

    _phase = Phase.IDLE
    _since = 0.0
    """When the phase began."""
    _look_at = math.inf
    """When the timer fires. A connection has one timer, and reads do not move it."""
    _timer: Any = None
    _progress: Progress | None = None
    """The progress of the body that arrives."""
    _written: Progress | None = None
    """The progress of an answer that the client reads slowly."""
    _leaving_at = math.inf
    """When a connection without a request is closed because the process stops."""
    _deaf = False
    """Received bytes are discarded."""
    _came_bytes = 0
    """Bytes of reads that held only the current head; in LINGER, the discarded bytes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start to check the client, which reads slower than we write."""
        super().pause_writing()
        now = self.loop.time()
        self._written = Progress(now, self.transport.get_write_buffer_size())
        self._watch(now + IDLE_SECONDS)

    def resume_writing(self) -> None:
        """Stop that check: the client has read most of the answer."""
        super().resume_writing()
        self._written = None

    def _answered_early(self) -> None:
        """End the connection after a written answer."""
        if self._progress is None:
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Close our side, and wait until the client has read the answer. A close with unread bytes is a reset, which may lose
        the answer."""
        if self.transport.is_closing():
            return
        self._deaf, self._came_bytes = True, 0
        self._enter(Phase.LINGER, LINGER_SECONDS)
        self.transport.write_eof()
        self.flow.resume_reading()

    def _refuse(self, status: int, code: str, words: str, *, retry: int | None = None) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # its answer would follow ours
            self.cycle.message_event.set()
        self.transport.write(last_answer(status, code, words, retry=retry))
        self._linger()

    def _enter(self, phase: Phase, seconds: float) -> None:
        self._phase = phase
        self._since = self.loop.time()
        self._watch(self._since + seconds)

    def _watch(self, at: float) -> None:
        """Check this connection at `at` or earlier."""
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
        """End a phase that has taken too long. Returns when to check again, or None if the connection has ended."""
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
            self._since = now  # the timeout of a pipelined head starts after the answer before it
        elif now >= self._since + HEAD_SECONDS:
            log.info("http.head_too_slow")
            self._refuse(408, "head_too_slow", f"request line and headers took longer than {HEAD_SECONDS:g} s")
            return now + LINGER_SECONDS
        return self._since + HEAD_SECONDS

    def _judge_body(self, now: float) -> float:
        assert self._progress is not None
        due = self._progress.looked_at + BODY_WINDOW_SECONDS
        if now < due:
            return due  # the timer was set for another reason
        if not self._progress.too_slow(now, waiting=self.flow.read_paused):
            return now + BODY_WINDOW_SECONDS
        # the application finds this reason instead of the rest of the body, and answers with it
        self._deaf = True
        self._phase = Phase.ANSWER
        self.cycle.scope["state"][CUT] = BodyTooSlow()
        self.cycle.more_body = False
        self.cycle.message_event.set()
        return now + IDLE_SECONDS

    def _judge_reader(self, now: float) -> float | None:
        """Check a client that has not read its answer. Aborts the connection if it reads too slowly."""
        left = self.transport.get_write_buffer_size()
        if self._written is None:
            self._written = Progress(now, left)
        elif now < self._written.looked_at + BODY_WINDOW_SECONDS:
            return self._written.looked_at + BODY_WINDOW_SECONDS
        elif self._written.stuck(now, left):
            log.info("http.client_reads_too_slowly", bytes_left=left)
            self.transport.abort()
            return None
        return now + BODY_WINDOW_SECONDS

    def _end(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()
