"""Outbound HTTP. aiohttp carries it; ours is what it does not tell: how far a call got, when it must be over, how much an
answer may be, and which address is dialled.

Just before its first byte is handed to the socket, a call counts as sent: from then on it may have arrived. Before that,
nothing of it has, whatever went wrong. Only our own flag tells the two apart, never an exception. No call is repeated,
no redirect followed, no cookie kept, and nothing is read from the environment but the file of certificates.
"""

import asyncio
import contextlib
import math
import os
import re
import select
import ssl
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache, partial
from socket import socket
from typing import Any, Final

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from app.core.crash import crash_point
from app.core.guard import Dialling, Guard

BeforeSend = Callable[[], Awaitable[None]]
FIELD_BYTES_MAX: Final = 16 * 1024
"""Of one header; aiohttp takes at most 128 of them."""
READ_BYTES: Final = 64 * 1024
"""Of an answer that may wait to be read, about twice."""
STEP_BYTES: Final = 1024 * 1024
"""Of a body that are decompressed before others have their turn."""
INTERIMS_MAX: Final = 1_000
"""Answers such as `102 Processing` that may come before the one that counts."""
PLAIN: Final = ("", "identity")
ZIPPED: Final = ("gzip", "x-gzip", "deflate")
"""Codings of a body; one in any other is given as it came, with `unknown_coding`."""
_REASONS_BEFORE: Final = (
    (aiohttp.ClientSSLError, "tls_failed"), (aiohttp.ClientHttpProxyError, "proxy_failed"),
    (aiohttp.ClientProxyConnectionError, "proxy_failed"), (aiohttp.ClientConnectorDNSError, "dns_failed"),
    (UnicodeError, "dns_failed"), (TimeoutError, "connect_timeout"),
)  # fmt: skip
_REASONS: Final = ((aiohttp.ClientPayloadError, "half_body"), (OSError, "connection_reset"))
_HUNG_UP: Final = getattr(select, "POLLRDHUP", select.POLLIN)
_dialling: ContextVar[Dialling] = ContextVar("dialling")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a call may take. connect_seconds: wait for a free connection, resolve, TCP, proxy and TLS together. quiet_seconds:
    without a byte coming in. total_seconds: all in all. body_bytes_max: after decompression."""

    connect_seconds: float
    quiet_seconds: float
    total_seconds: float
    body_bytes_max: int


@dataclass(frozen=True, slots=True)
class Called:
    """How far a call got, and what of its answer came. status_code: None where no whole head came. headers: names in lower
    case. failure: what broke it off (`half_body`), None where the answer is whole. With a guard, address: what was dialled
    last; forbidden: why something was not."""

    sent: bool
    status_code: int | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    failure: str | None = None
    address: str | None = None
    forbidden: str = ""

    def header(self, wanted: bytes) -> str | None:
        """The value of the first header of this name."""
        return next((value.decode("latin-1") for name, value in self.headers if name == wanted), None)


class _Broken(Exception):
    """The call ends here. Its only argument is the reason, a short constant."""


class _Exchange:
    """One call. As a middleware of aiohttp it hears of every failure first, so that aiohttp repeats nothing by itself."""

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
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:  # the latter: no thread to be had
            raise _Broken(self.reason(error)) from None

    async def check(self, connection: Connection) -> None:
        """The last word before the first byte: where it raises, nothing has been sent."""
        self.protocol, self.transport = connection.protocol, connection.transport
        if self.dialling is not None:
            peer = self.transport and self.transport.get_extra_info("peername")
            if not peer:
                raise _Broken("closed_before_send")
            self.dialling.admit(str(peer[0]))
        if self.before_send is not None:
            try:
                await self.before_send()
            except Exception as error:
                self.raised = error
                raise _Broken("stopped") from None
        if self.protocol.should_close or (self.before_send is not None and not self.protocol.untouched()):
            raise _Broken("closed_before_send")
        if asyncio.get_running_loop().time() >= self.until:
            raise _Broken("total_timeout")

    async def read(self, most: int, *, part: bool) -> str | None:
        """Take the body of the response; what broke it off, None where it is whole, or the part of it that is wanted."""
        response, left, decoder = self.response, most, None
        assert response is not None
        headers = response.headers
        coding = "identity" if part else ", ".join(headers.getall("Content-Encoding", ["identity"])).lower()
        if response.status < 200:
            return "bad_answer"
        if any(value.lower() != "chunked" for value in headers.getall("Transfer-Encoding", ())):
            return "unknown_coding"
        if not part and (response.content_length or 0) > most:
            return "body_too_large"
        more = False
        try:
            while more or (piece := await response.content.readany()):
                if coding in ZIPPED:  # aiohttp would take half a gzip for a whole one
                    if decoder is None:  # gzip or zlib, as its first bytes say; some mean zlib without its head
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
                if decoder is not None and decoder.unused_data:  # the cap knows nothing of what follows the end
                    return "bad_coding"
        except zlib.error:
            self.pieces = self.pieces or [piece]  # it may be plain after all, and name a job that was started
            return "bad_coding"
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            return self.reason(error)
        if decoder is not None and not decoder.eof:
            return "bad_coding"
        if coding not in PLAIN + ZIPPED:
            return "unknown_coding"
        # a body that ends with its connection is whole only where that was closed in good order
        reset = isinstance(self.protocol.exception(), OSError)
        return "connection_reset" if reset and not headers.keys() & {"Content-Length", "Transfer-Encoding"} else None

    def reason(self, error: Exception) -> str:
        """A name for what went wrong."""
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
        """Hang up, unless the connection is back in its pool, and perhaps in use again."""
        if kept and self.response is not None and self.response.closed:
            return
        if self.transport is not None:
            with contextlib.suppress(AttributeError):  # Python 3.11.2: one with TLS that was closed twice
                self.transport.abort()
        if self.response is not None:
            self.response.close()

    def end(self) -> None:
        """With the next turn of the loop: an answer that has come by then is read."""
        if self.cut is not None and not self.cut.expired():
            self.cut.reschedule(0)


class _Request(aiohttp.ClientRequest):
    """Goes out in the one step in which the check ends: no turn of the loop lies in between."""

    exchange: _Exchange

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        await self.exchange.check(conn)
        crash_point("send.before_first_byte")
        self.exchange.sent = True
        response = await super().send(conn)  # writes the head at once, for aiohttp knows of no body
        if self.exchange.body is not None:
            self.exchange.transport.write(self.exchange.body)
        crash_point("send.after_first_byte")
        return response


class _Protocol(ResponseHandler):
    """A connection. used: it has been handed out. Since it was last: heads, how many were read; answered, with one that counts;
    content, the body of the latest one."""

    used = answered = False
    heads = 0
    watch: Any = None
    content: Any = None

    def untouched(self) -> bool:
        """Open, and neither we nor the kernel hold bytes or an end that nobody has asked for."""
        if self.transport is None or self.transport.is_closing() or self.should_close:
            return False
        if self.watch is None:
            # TLS sends tickets when it likes; what it hands on is in here
            secure = self.transport.get_extra_info("sslcontext") is not None
            self.watch = select.poll()
            self.watch.register(self.transport.get_extra_info("socket"), _HUNG_UP if secure else select.POLLIN)
        return not self.watch.poll(0) and not self.transport.get_write_buffer_size()

    def data_received(self, data: bytes) -> None:
        """A head is read by itself. aiohttp drops a whole answer where bytes that are no HTTP come in the same packet."""
        while not self.answered and (end := data.find(b"\r\n\r\n") + 4) > 3 and self.heads <= INTERIMS_MAX:
            super().data_received(data[:end])
            data = data[end:]
        super().data_received(data)  # empty, too: with it aiohttp goes on after a pause

    def feed_data(self, data: Any, size: int = 0) -> None:
        """A head was read. aiohttp takes any number of interim ones."""
        self.heads += 1
        self.answered, self.content = data[0].code >= 200, data[1]
        if self.heads <= INTERIMS_MAX:
            super().feed_data(data, size)
        elif self.transport is not None:
            self.set_exception(_Broken("too_many_interims"))
            self.transport.abort()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Tells the reader of a body, too: aiohttp leaves it waiting where bytes come that are no HTTP."""
        super().set_exception(exc, *cause)
        if self.content is not None and not self.content.is_eof() and self.content.exception() is None:
            self.content.set_exception(exc)


class _Connector(aiohttp.TCPConnector):
    """Hands out no kept connection that its server has closed or written to meanwhile; aiohttp alone would."""

    def __init__(self, **given: Any) -> None:
        super().__init__(timeout_ceil_threshold=math.inf, **given)
        self._factory: Any = partial(_Protocol, loop=self._loop)

    async def connect(self, req: Any, traces: Any, timeout: aiohttp.ClientTimeout) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol: Any = connection.protocol
            if not protocol.used or protocol.untouched():
                protocol.used, protocol.answered, protocol.heads, protocol.content = True, False, 0, None
                return connection
            connection.close()


class _Resolver(AbstractResolver):
    """Asks the guard of the call that needs an address."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
        return await _dialling.get().resolve(host, port)

    async def close(self) -> None:
        """Nothing is open."""


def _socket(wanted: Any) -> socket:
    return _dialling.get().socket(wanted)


class Caller:
    """Calls servers, whatever comes of it. Made and closed in one loop."""

    def __init__(
        self, url: str = "", *, headers: Mapping[str, str], connections_max: int, keep_alive: bool, limits: Limits,
        idle_seconds: float = 15, ssl_context: ssl.SSLContext | None = None, proxy: str | None = None,
        guard: Guard | None = None, part: bool = False,
    ) -> None:  # fmt: skip
        """Raises ValueError for a wrong URL or header. url: what each target is put behind. idle_seconds: until an unused
        connection is closed. proxy: its URL, with user and password. guard: is asked for each address. part: the beginning
        of an answer is enough, up to `body_bytes_max`, and not decoded."""
        parsed = URL(url)
        if url and (parsed.scheme not in ("http", "https") or not parsed.raw_host):
            raise ValueError(f"not the URL of a server: {url}")
        self._base, self._proxy = str(parsed).rstrip("/"), proxy
        self._limits, self._keep_alive, self._guard, self._part = limits, keep_alive, guard, part
        self._headers = _checked(headers)  # not the session's: aiohttp sends these to the proxy, too
        self._exchanges: set[_Exchange] = set()
        given: dict[str, Any] = {"keepalive_timeout": idle_seconds} if keep_alive else {"force_close": True}
        if guard is not None:
            given |= {"resolver": _Resolver(), "socket_factory": _socket, "use_dns_cache": False}
        always = {"accept-encoding": "gzip, deflate", "user-agent": "waystation"}
        self._session = aiohttp.ClientSession(
            connector=_Connector(ssl=ssl_context or default_ssl_context(), limit=connections_max, **given),
            cookie_jar=aiohttp.DummyCookieJar(), headers=always, request_class=_Request,
            auto_decompress=False, proxy=proxy, max_line_size=FIELD_BYTES_MAX, max_field_size=FIELD_BYTES_MAX,
            read_bufsize=READ_BYTES,
        )  # fmt: skip

    async def call(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None,
        before_send: BeforeSend | None = None, limits: Limits | None = None,
    ) -> Called:  # fmt: skip
        """One call. Raises what `before_send` raises, with nothing sent, and nothing else. target: path and query, escaped.
        body: JSON. before_send: awaited with the connection open and nothing written. limits: instead of the caller's."""
        if self._session.closed:
            return Called(False, failure="closed_before_send")
        loop, limits, url = asyncio.get_running_loop(), limits or self._limits, URL(self._base + target, encoded=True)
        dialling = Dialling(self._guard, secure=url.scheme == "https") if self._guard else None
        exchange = _Exchange(body, before_send, dialling, loop.time() + limits.total_seconds)
        framing = {} if body is None else {"content-type": "application/json", "content-length": str(len(body))}
        headers = {**self._headers, **framing, **_checked(headers or {})}
        asked = dialling and _dialling.set(dialling)
        self._exchanges.add(exchange)
        timer, failure = None, None
        try:
            async with asyncio.timeout(None) as exchange.cut:
                timer = loop.call_at(exchange.until, exchange.end)
                exchange.response = await self._session.request(
                    method, url, headers=headers, allow_redirects=False, timeout=_timeout(limits), middlewares=(exchange,)
                )  # fmt: skip
                failure = await exchange.read(limits.body_bytes_max, part=self._part)
        except TimeoutError:
            failure = "closed_before_send" if self._session.closed and not exchange.sent else "total_timeout"
        except _Broken as broken:
            failure = str(broken)
            if exchange.raised is not None:
                raise exchange.raised from None
        finally:
            if timer is not None:
                timer.cancel()
            if asked:
                _dialling.reset(asked)
            self._exchanges.discard(exchange)
            exchange.leave(kept=self._keep_alive)
        return self._called(exchange, failure)

    def _called(self, exchange: _Exchange, failure: str | None) -> Called:
        response, dialling = exchange.response, exchange.dialling
        dialled = (dialling.address, dialling.forbidden) if dialling else (None, "")
        if response is not None and response.status == 407 and self._proxy and response.url.scheme == "http":
            return Called(False, failure="proxy_failed")
        if response is None:
            return Called(exchange.sent, None, [], b"", failure, *dialled)
        lines = [(name.lower(), value) for name, value in response.raw_headers]
        return Called(True, response.status, lines, b"".join(exchange.pieces), failure, *dialled)

    async def close(self) -> None:
        """Close every connection, those in use included."""
        for exchange in self._exchanges:
            exchange.leave(kept=False)
            if exchange.transport is None:
                exchange.end()  # it waits for a connection, a name or TLS
        await self._session.close()


def default_ssl_context() -> ssl.SSLContext:
    """Certificates and host names checked, against SSL_CERT_FILE where that is set."""
    context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _checked(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Raises ValueError where a header would break out of its line."""
    for name, value in headers.items():
        if re.search(r"[\r\n\0]", name + value):
            raise ValueError(f"the header {name} has a line break in it")
    return headers


@lru_cache
def _timeout(limits: Limits) -> aiohttp.ClientTimeout:
    quiet_seconds = limits.quiet_seconds if limits.quiet_seconds < limits.total_seconds else None
    return aiohttp.ClientTimeout(connect=limits.connect_seconds, sock_read=quiet_seconds, ceil_threshold=math.inf)
