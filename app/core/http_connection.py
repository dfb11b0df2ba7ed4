"""One HTTP/1.1 connection to a server: one exchange at a time, and fit for another only while neither an end nor
unread bytes were seen on it. asyncio only; no httpx."""

import asyncio
import select
from collections.abc import Callable
from typing import cast

from app.core.clock import monotonic
from app.core.crash import crash_point
from app.core.http_answer import Answer, Bounds, Broken


class Connection(asyncio.Protocol):
    """A transport and, while an exchange is on, its answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[["Connection"], None]) -> None:
        self.loop = loop
        self.open = False
        self.idle_since = 0.0
        self._on_lost = on_lost
        self._answer: Answer | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def unwritten_bytes(self) -> int:
        """How much of the request still waits for the kernel to take it."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def untouched(self) -> bool:
        """Open, and not even the kernel holds bytes or an end that we have not been told of yet."""
        if not self.open or self._transport is None or self.unwritten_bytes:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def start(self, request: bytes, bounds: Bounds, *, head_only: bool) -> Answer:
        """Hand the whole request to the socket; from here on it may have arrived."""
        if not self.open or self._transport is None:
            raise Broken("closed_before_send", sent=False)
        crash_point("send.before_first_byte")
        self._transport.write(request)
        crash_point("send.after_first_byte")
        self._answer = answer = Answer(self, bounds, head_only=head_only)
        return answer

    def rest(self) -> None:
        """The exchange is over; the connection waits for the next one."""
        if self._answer is not None:
            self._answer.stop()
            self._answer = None
        self.idle_since = monotonic()

    def abort(self) -> None:
        """Close at once, without waiting for the other side."""
        self.open = False
        if self._answer is not None:
            self._answer.stop()
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Leave what comes in the socket."""
        if self._transport is not None and self.open:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._transport is not None and self.open:
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # an answer to nothing: whatever follows could be taken for the next one's
            self.abort()
        else:
            self._answer.feed(data)

    def eof_received(self) -> None:
        self.open = False
        if self._answer is not None:
            self._answer.end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._answer is not None:
            self._answer.lose(exc)
        self._on_lost(self)
