"""One call over aiohttp: the last check before its first byte, the body of its answer, and the reason of a failure."""

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError

from app.core.crash import crash_point
from app.http_client.guard import Dialling

BeforeSend = Callable[[], Awaitable[None]]
STEP_BYTES: Final = 1024 * 1024
"""How much of a body is decompressed before other tasks can run."""
PLAIN: Final = ("", "identity")
ZIPPED: Final = ("gzip", "x-gzip", "deflate")
"""Supported codings. A body in another coding is returned unchanged, with `unknown_coding`."""
_REASONS_BEFORE: Final = (
    (aiohttp.ClientSSLError, "tls_failed"), (aiohttp.ClientHttpProxyError, "proxy_failed"),
    (aiohttp.ClientProxyConnectionError, "proxy_failed"), (aiohttp.ClientConnectorDNSError, "dns_failed"),
    (UnicodeError, "dns_failed"), (TimeoutError, "connect_timeout"),
)  # fmt: skip
_REASONS: Final = ((aiohttp.ClientPayloadError, "half_body"), (OSError, "connection_reset"))


class CallBroken(Exception):
    """Ends a call. Its only argument is the reason, a short constant."""


class HttpCall:
    """One call. As a middleware of aiohttp it gets every failure first, so that aiohttp never retries."""

    sent = False
    raised: Exception | None = None
    protocol: Any = None
    transport: Any = None
    response: aiohttp.ClientResponse | None = None
    cut: asyncio.Timeout | None = None

    def __init__(self, body: bytes | None, before_send: BeforeSend | None, dialling: Dialling | None, until: float):
        self.body, self.before_send, self.dialling, self.until = body, before_send, dialling, until
        self.pieces: list[bytes] = []

    async def __call__(self, request: Any, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.exchange = self
        try:
            return await handler(request)
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:  # RuntimeError: no thread is left
            raise CallBroken(self.reason(error)) from None

    async def check(self, connection: Connection) -> None:
        """Do the last checks before the first byte. If it raises CallBroken, nothing was sent."""
        self.protocol, self.transport = connection.protocol, connection.transport
        if self.dialling is not None:
            peer = self.transport and self.transport.get_extra_info("peername")
            if not peer:
                raise CallBroken("closed_before_send")
            self.dialling.admit(str(peer[0]))
        if self.before_send is not None:
            try:
                await self.before_send()
            except Exception as error:
                self.raised = error
                raise CallBroken("stopped") from None
        # the server may have closed it during `before_send`
        if self.protocol.should_close or (self.before_send is not None and not self.protocol.untouched()):
            raise CallBroken("closed_before_send")
        if asyncio.get_running_loop().time() >= self.until:
            raise CallBroken("total_timeout")

    async def read(self, bytes_max: int, *, part: bool) -> str | None:
        """Read the body into `pieces`. Returns the reason of a failure, or None if the body, or the wanted `part`, is
        complete."""
        response, left, decoder = self.response, bytes_max, None
        assert response is not None
        headers = response.headers
        coding = "identity" if part else ", ".join(headers.getall("Content-Encoding", ["identity"])).lower()
        if response.status < 200:
            return "bad_answer"
        if any(value.lower() != "chunked" for value in headers.getall("Transfer-Encoding", ())):
            return "unknown_coding"
        if not part and (response.content_length or 0) > bytes_max:
            return "body_too_large"
        more = False
        try:
            while more or (piece := await response.content.readany()):
                if coding in ZIPPED:  # aiohttp would accept half a gzip as complete
                    if decoder is None:  # gzip or zlib, by its first bytes; some servers omit zlib's header
                        headless = coding == "deflate" and piece[0] & 0x0F != zlib.DEFLATED
                        decoder = zlib.decompressobj(wbits=-15 if headless else 47)
                    piece = decoder.decompress(decoder.unconsumed_tail if more else piece, min(left + 1, STEP_BYTES))
                    if more := len(piece) == STEP_BYTES:
                        await asyncio.sleep(0)
                self.pieces.append(piece)
                left -= len(piece)
                if part and left <= 0:
                    return None
                if left < 0:
                    return "body_too_large"
                if decoder is not None and decoder.unused_data:  # bytes after the end escape the limit
                    return "bad_coding"
        except zlib.error:
            self.pieces = self.pieces or [piece]  # it may be plain text that names a started job
            return "bad_coding"
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            return self.reason(error)
        if decoder is not None and not decoder.eof:
            return "bad_coding"
        if coding not in PLAIN + ZIPPED:
            return "unknown_coding"
        # a body that ends with its connection is complete only if that was closed without an error
        reset = isinstance(self.protocol.exception(), OSError)
        return "connection_reset" if reset and not headers.keys() & {"Content-Length", "Transfer-Encoding"} else None

    def reason(self, error: Exception) -> str:
        """Return the constant for a failure."""
        if isinstance(error, aiohttp.SocketTimeoutError):
            return "write_timeout" if self.transport.get_write_buffer_size() else "read_timeout"
        if type(error) is aiohttp.ClientConnectorError and isinstance(error.os_error, ConnectionRefusedError):
            return "connect_refused"
        if isinstance(error, aiohttp.ServerDisconnectedError) and self.sent:
            return "closed_without_answer" if isinstance(error.message, str) else "half_head"
        early = "connect_failed" if self.transport is None else "closed_before_send"
        names = _REASONS if self.sent else _REASONS_BEFORE
        return next((name for kind, name in names if isinstance(error, kind)), "bad_answer" if self.sent else early)

    def leave(self, *, kept: bool) -> None:
        """Close the connection, unless it is back in its pool, where another call may use it."""
        if kept and self.response is not None and self.response.closed:
            return
        if self.transport is not None:
            with contextlib.suppress(AttributeError):  # Python 3.11.2: a TLS transport that was closed twice
                self.transport.abort()
        if self.response is not None:
            self.response.close()

    def end(self) -> None:
        """End the call in the next turn of the event loop, after an answer that has arrived is read."""
        if self.cut is not None and not self.cut.expired():
            self.cut.reschedule(0)


class Request(aiohttp.ClientRequest):
    """A request that is sent in the same turn of the event loop in which its check ends."""

    exchange: HttpCall

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        await self.exchange.check(conn)
        crash_point("send.before_first_byte")
        self.exchange.sent = True
        response = await super().send(conn)  # writes the head immediately, since aiohttp knows no body
        if self.exchange.body is not None:
            self.exchange.transport.write(self.exchange.body)
        crash_point("send.after_first_byte")
        return response
