"""The answer to one HTTP/1.1 request as it arrives: status and headers at once, the body in pieces as they are taken.

Broken: the exchange came to nothing; `sent` says whether a byte of the request may have reached the server.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

import httptools

HEAD_BYTES_MAX: Final = 64 * 1024
BUFFERED_BYTES_MAX: Final = 256 * 1024
"""A body that is not asked for waits in the socket beyond this many bytes."""

FRAMING_FACTOR: Final = 8
"""A chunked body may cost this many bytes on the wire for each byte of itself; beyond that it is an attack."""

Headers = list[tuple[bytes, bytes]]


class Broken(Exception):
    """An exchange that failed: `reason` is a short constant, `sent` whether its first byte was handed to the socket."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one exchange may take: an instant of the loop's clock, seconds without progress, bytes of body."""

    deadline: float
    quiet_seconds: float
    body_bytes_max: int


class _Refused(Exception):
    """Raised inside a parser callback to stop the parser; its only argument is the reason."""


class Carrier(Protocol):
    """What an answer needs of the connection that it arrives on."""

    loop: asyncio.AbstractEventLoop

    @property
    def unwritten_bytes(self) -> int: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Answer:
    """One response as it arrives. `head()` waits for status and headers, `piece()` for more of the body."""

    def __init__(self, connection: Carrier, bounds: Bounds, *, head_only: bool) -> None:
        self._connection = connection
        self._loop = connection.loop
        self._bounds = bounds
        self._head_only = head_only
        self._parser = httptools.HttpResponseParser(self)
        self.status_code = 0
        self.headers: Headers = []
        self._pieces: list[bytes] = []
        self._arrived_bytes = self._head_bytes = self._body_bytes = self._buffered_bytes = 0
        self._interim = self._head_complete = self._until_close = self._complete = False
        self._persistent = self._overrun = self._paused = False
        self._failure: Broken | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._unwritten_bytes = connection.unwritten_bytes
        self._moved_at = self._loop.time()
        self._timer = self._loop.call_at(min(bounds.deadline, self._moved_at + bounds.quiet_seconds), self._on_timer)

    # What the exchange's owner asks for

    @property
    def complete(self) -> bool:
        """The last byte of the body is here (some of it perhaps not yet taken with `piece`)."""
        return self._complete

    @property
    def reusable(self) -> bool:
        """The connection stands between two exchanges now, and the server means to keep it."""
        return self._complete and self._persistent and not (self._overrun or self._head_only)

    async def head(self) -> None:
        """Wait for the final status and its headers; raises Broken."""
        while not self._head_complete and self._failure is None:
            await self._wait()
        if self._failure is not None and not self._head_complete:
            raise self._failure

    async def piece(self) -> bytes:
        """All of the body that has come since the last call; b"" after its end. Raises Broken."""
        while not self._pieces and not self._complete and self._failure is None:
            await self._wait()
        if self._pieces:
            taken = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            self._buffered_bytes = 0
            if self._paused:
                self._paused = False
                self._moved_at = self._loop.time()
                self._connection.resume_reading()
            return taken
        if self._failure is not None:
            raise self._failure
        return b""

    def stop(self) -> None:
        """Nobody waits for this any more."""
        self._timer.cancel()

    # What the connection tells

    def feed(self, data: bytes) -> None:
        """Bytes came in."""
        if self._complete or self._failure is not None:
            self._overrun = True
            return
        self._moved_at = self._loop.time()
        self._arrived_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            reason = error.__context__
            self._fail(str(reason) if isinstance(reason, _Refused) else "bad_answer")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self._complete:  # what follows a whole answer does not spoil the answer, only the connection
                self._overrun = True
            else:
                self._fail("bad_answer")
        else:
            if not self._head_complete and self._arrived_bytes > HEAD_BYTES_MAX:
                self._fail("head_too_large")
            elif self._arrived_bytes > HEAD_BYTES_MAX + FRAMING_FACTOR * self._bounds.body_bytes_max:
                self._fail("body_too_large")
        if self._buffered_bytes > BUFFERED_BYTES_MAX and not self._complete and not self._paused:
            self._paused = True
            self._connection.pause_reading()
        if self._complete or self._failure is not None:
            del self._parser  # it holds us: left alone, every exchange would wait for the garbage collector
        self._wake()

    def end(self) -> None:
        """The server closed its side in good order."""
        if self._complete or self._failure is not None:
            return
        if self._head_complete and self._until_close:
            self._finish()
        elif self._head_complete:
            self._fail("half_body")
        else:
            self._fail("half_head" if self._arrived_bytes else "closed_without_answer")
        self._wake()

    def lose(self, error: Exception | None) -> None:
        """The connection is gone."""
        if error is None:
            self.end()
        elif not self._complete and self._failure is None:
            self._fail("connection_reset")
            self._wake()

    # What the parser tells

    def on_message_begin(self) -> None:
        if self._complete:
            self._overrun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._complete:
            return
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES_MAX:
            raise _Refused("head_too_large")
        if not self._head_complete:  # else a trailer, which nobody reads
            self.headers.append((name.lower(), value.strip(b" \t")))  # the parser drops leading blanks only

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        self.status_code = self._parser.get_status_code()
        if 100 <= self.status_code < 200:
            self._interim = True
            self.headers = []
            return
        self._head_complete = True
        self._persistent = self._parser.should_keep_alive()  # the parser has forgotten it by the end of the body
        lengths = [value for name, value in self.headers if name == b"content-length"]
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if any(coding.strip().lower() != b"chunked" for coding in codings):
            raise _Refused("unknown_coding")
        self._until_close = not (lengths or codings or self.status_code in (204, 304))
        if self._head_only:
            self._finish()
        elif lengths and int(lengths[0]) > self._bounds.body_bytes_max:
            raise _Refused("body_too_large")

    def on_body(self, piece: bytes) -> None:
        if self._complete:
            return
        self._body_bytes += len(piece)
        if self._body_bytes > self._bounds.body_bytes_max:
            raise _Refused("body_too_large")
        self._buffered_bytes += len(piece)
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif not self._complete:
            self._finish()

    # Inside

    def _finish(self) -> None:
        self._complete = True
        self._timer.cancel()

    def _fail(self, reason: str) -> None:
        self._failure = Broken(reason, sent=True)
        self._timer.cancel()
        self._connection.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    def _on_timer(self) -> None:
        now = self._loop.time()
        unwritten = self._connection.unwritten_bytes
        if self._paused or unwritten < self._unwritten_bytes:  # their reader is slow, or they are: that is progress
            self._moved_at = now
        self._unwritten_bytes = unwritten
        due = min(self._bounds.deadline, self._moved_at + self._bounds.quiet_seconds)
        if now < due:
            self._timer = self._loop.call_at(due, self._on_timer)
            return
        if now >= self._bounds.deadline:
            self._fail("total_timeout")
        else:
            self._fail("write_timeout" if unwritten else "read_timeout")
        self._wake()
