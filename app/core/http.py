"""Outbound HTTP: `httpx.AsyncClient` over connections of our own. The only module that imports httpx.

httpx's own pool costs time quadratic in its idle connections; `bench/transports.py` has the figures.
No proxies, no redirects, no cookies, no decompression, nothing from the environment but the CA file.

ExchangeError (an httpx.TransportError)  the exchange came to nothing; `reason` is a short constant
├── NotSent         provably nothing of the request left: resolve, connect, TLS, no free connection
└── MayHaveArrived  its first byte was handed to the socket, and no whole answer came back

Per request, in `extensions`: `before_send`, an async callable awaited with the connection open and nothing written
yet (what it raises is passed on and nothing is sent); `fresh`, True for a connection used this once;
`total_seconds` and `body_bytes_max`, in place of the client's; `timeout`, httpx's own, by `timeout=`.
"""

import ssl
from collections.abc import AsyncIterator
from typing import Any

from app.core.http_answer import Answer, Broken, Headers
from app.core.http_connection import Connection
from app.core.http_exchange import USER_AGENT, Caller, Limits, begin, finish, header_lines
from app.core.http_pool import Origin, Pool, Resolve
from app.core.slim_import import without

with without("httpx._main"):
    import httpx

Client = httpx.AsyncClient
Response = httpx.Response
URL = httpx.URL
InvalidURL = httpx.InvalidURL

_HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"te", b"upgrade"}
_NOT_FOR_HTTPX = {b"content-encoding", b"location", b"set-cookie"}
"""What httpx would act upon unasked: decompress, parse the target of a redirect not taken, remember."""


class ExchangeError(httpx.TransportError):
    """An HTTP exchange without a whole answer. `reason`: `connect_refused`, `half_body`, `read_timeout`…"""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSent(ExchangeError):
    """No byte of the request left this process."""


class ConnectFailed(NotSent, httpx.ConnectError):
    """Resolve, connect or TLS failed, or the server hung up before we wrote."""


class ConnectTimedOut(NotSent, httpx.ConnectTimeout):
    """No connection, TLS included, in time."""


class NoFreeConnection(NotSent, httpx.PoolTimeout):
    """As many exchanges as allowed are on, and none ended in time."""


class RequestMalformed(NotSent, httpx.LocalProtocolError):
    """The request cannot be written as HTTP: a line break in a header, a space in a path."""


class MayHaveArrived(ExchangeError):
    """The server may have got the request, in part or whole."""


class AnswerLost(MayHaveArrived, httpx.ReadError):
    """The connection was reset."""


class AnswerTimedOut(MayHaveArrived, httpx.ReadTimeout):
    """Silence, or too slow in all."""


class SendTimedOut(MayHaveArrived, httpx.WriteTimeout):
    """The server does not take the request off our hands."""


class AnswerMalformed(MayHaveArrived, httpx.RemoteProtocolError):
    """Not HTTP, cut short, or larger than allowed."""


_NOT_SENT: dict[str, type[NotSent]] = {
    "connect_timeout": ConnectTimedOut,
    "total_timeout": ConnectTimedOut,
    "no_free_connection": NoFreeConnection,
    "malformed_request": RequestMalformed,
}
_MAY_HAVE_ARRIVED: dict[str, type[MayHaveArrived]] = {
    "connection_reset": AnswerLost,
    "read_timeout": AnswerTimedOut,
    "total_timeout": AnswerTimedOut,
    "write_timeout": SendTimedOut,
}


def _raised(broken: Broken) -> ExchangeError:
    if not broken.sent:
        return _NOT_SENT.get(broken.reason, ConnectFailed)(broken.reason)
    return _MAY_HAVE_ARRIVED.get(broken.reason, AnswerMalformed)(broken.reason)


def open_client(
    *,
    connections_max: int,
    keep_alive: bool,
    connect_seconds: float,
    read_seconds: float,
    total_seconds: float,
    body_bytes_max: int,
    wait_seconds: float | None = None,
    idle_seconds: float = 15,
    ssl_context: ssl.SSLContext | None = None,
    resolve: Resolve | None = None,
) -> Client:
    """A client to be closed with `aclose`.

    connect_seconds: resolve, TCP and TLS together. read_seconds: without a byte moving, either way.
    total_seconds: from the call to the last byte of the body, waiting for a connection included.
    wait_seconds: for one of `connections_max` connections, default `connect_seconds`. idle_seconds: an unused
    connection is closed after these. resolve: names the addresses to dial, in place of the system's resolver.
    """
    pool = Pool(
        connections_max=connections_max,
        keep_alive=keep_alive,
        idle_seconds=idle_seconds,
        ssl_context=ssl_context or default_ssl_context(),
        resolve=resolve,
    )
    return httpx.AsyncClient(
        transport=Transport(pool, total_seconds=total_seconds, body_bytes_max=body_bytes_max, keep_alive=keep_alive),
        timeout=httpx.Timeout(
            connect=connect_seconds,
            read=read_seconds,
            write=read_seconds,
            pool=connect_seconds if wait_seconds is None else wait_seconds,
        ),
        headers={"accept-encoding": "identity", "user-agent": USER_AGENT},
        follow_redirects=False,
        trust_env=False,
    )


def open_caller(
    url: str,
    *,
    headers: dict[str, str],
    connections_max: int,
    keep_alive: bool,
    limits: Limits,
    idle_seconds: float = 15,
    ssl_context: ssl.SSLContext | None = None,
) -> Caller:
    """For calls to one server, cheaper than a client; targets are whole paths. Raises ValueError for a wrong URL."""
    parsed = URL(url)
    try:
        origin = _origin(parsed)
    except Broken:
        raise ValueError(f"not the URL of a server: {url}") from None
    always = {"host": parsed.netloc.decode("ascii"), "accept": "*/*", "accept-encoding": "identity"}
    pool = Pool(
        connections_max=connections_max,
        keep_alive=keep_alive,
        idle_seconds=idle_seconds,
        ssl_context=ssl_context or default_ssl_context(),
    )
    lines = header_lines({**always, "user-agent": USER_AGENT, **headers})
    return Caller(pool, origin, headers=lines, limits=limits, keep_alive=keep_alive)


def default_ssl_context() -> ssl.SSLContext:
    """Certificates and host names checked, against SSL_CERT_FILE where that is set."""
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Transport(httpx.AsyncBaseTransport):
    """Carries httpx's requests over a `Pool`; raises ExchangeError and what `before_send` raises, nothing else."""

    def __init__(self, pool: Pool, *, total_seconds: float, body_bytes_max: int, keep_alive: bool) -> None:
        self.pool = pool
        self._total_seconds = total_seconds
        self._body_bytes_max = body_bytes_max
        self._keep_alive = keep_alive

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Exchange one request for a response whose body may still be on its way."""
        told = request.extensions
        timeout: dict[str, float | None] = told.get("timeout", {})
        fresh = bool(told.get("fresh")) or not self._keep_alive
        total_seconds = told.get("total_seconds", self._total_seconds)
        limits = Limits(
            wait_seconds=_least(timeout.get("pool"), total_seconds),
            connect_seconds=_least(timeout.get("connect"), total_seconds),
            quiet_seconds=_least(timeout.get("read"), total_seconds),
            total_seconds=total_seconds,
            body_bytes_max=told.get("body_bytes_max", self._body_bytes_max),
        )
        try:
            origin = _origin(request.url)
            connection, answer = await begin(
                self.pool,
                origin,
                _written(request, await request.aread(), fresh=fresh),
                limits=limits,
                fresh=fresh,
                before_send=told.get("before_send"),
                head_only=request.method == "HEAD",
            )
        except Broken as broken:
            raise _raised(broken) from None
        body = Body(self.pool, connection, origin, answer, keep=not fresh)
        return httpx.Response(answer.status_code, headers=_shown(answer.headers), stream=body)

    async def aclose(self) -> None:
        """Close every connection."""
        await self.pool.close()


class Body(httpx.AsyncByteStream):
    """The body of a response; gives the connection back at its end, and drops it when closed before that."""

    def __init__(self, pool: Pool, connection: Connection, origin: Origin, answer: Answer, *, keep: bool) -> None:
        self._pool = pool
        self._connection = connection
        self._origin = origin
        self._answer = answer
        self._keep = keep
        self._over = False
        if answer.complete:
            self._end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._answer.piece():
                yield piece
        except Broken as broken:
            raise _raised(broken) from None
        finally:
            self._end()

    async def aclose(self) -> None:
        """Done with it, read or not."""
        self._end()

    def _end(self) -> None:
        if self._over:  # the connection may by now be in somebody else's hands
            return
        self._over = True
        finish(self._pool, self._origin, self._connection, self._answer, keep=self._keep)


def _least(seconds: float | None, total_seconds: float) -> float:
    return total_seconds if seconds is None else min(seconds, total_seconds)


def _origin(url: URL) -> Origin:
    if url.scheme not in ("http", "https") or not url.host:
        raise Broken("malformed_request", sent=False)
    secure = url.scheme == "https"
    return Origin(secure, url.raw_host.decode("ascii"), url.port or (443 if secure else 80))


def _written(request: httpx.Request, body: bytes, *, fresh: bool) -> bytes:
    method, target = request.method.encode("ascii", "replace"), request.url.raw_path
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    lines += [b"%b: %b" % (name, value) for name, value in request.headers.raw if name.lower() not in _HOP_BY_HOP]
    lines.append(b"connection: close" if fresh else b"connection: keep-alive")
    if body or method not in (b"GET", b"HEAD"):
        lines.append(b"content-length: %d" % len(body))
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head or lines[0].count(b" ") != 2:
        raise Broken("malformed_request", sent=False)
    return b"%b\r\n\r\n%b" % (head, body)


def _shown(headers: Headers) -> Headers:
    return [header for header in headers if header[0] not in _NOT_FOR_HTTPX]


def pool_of(client: Client) -> Pool:
    """The pool behind a client, for its gauges."""
    transport: Any = client._transport
    assert isinstance(transport, Transport)
    return transport.pool
