"""Outbound HTTP calls over aiohttp. This module adds how far a call got, a total timeout, a limit on the size of an answer,
and control of the dialled address.

A call counts as sent just before its first byte is given to the socket. From then on it may have arrived. Before that,
nothing of it has arrived, whatever failed. Only our own flag says which, never an exception. No call is retried, no redirect
followed, no cookie kept. Only the file of certificates is read from the environment.
"""

import asyncio
import math
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import aiohttp
import certifi
from yarl import URL

from app.http_client.connections import Connector, GuardResolver, dialling_of_call, guarded_socket
from app.http_client.exchange import BeforeSend, CallBroken, HttpCall, Request
from app.http_client.guard import Dialling, Guard

FIELD_BYTES_MAX: Final = 16 * 1024
"""The most bytes of one header; aiohttp accepts at most 128 headers."""
READ_BYTES: Final = 64 * 1024
"""aiohttp buffers about twice as many bytes of an answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a call. connect_seconds: wait for a free connection, resolve, TCP, proxy and TLS together. quiet_seconds:
    without a received byte. total_seconds: the whole call. body_bytes_max: after decompression."""

    connect_seconds: float
    quiet_seconds: float
    total_seconds: float
    body_bytes_max: int


@dataclass(frozen=True, slots=True)
class Called:
    """How far a call got, and what arrived of its answer. status_code: None without a complete head. headers: names in lower
    case. failure: why it failed (`half_body`), None if the answer is complete. With a guard, address: the last dialled
    address; forbidden: why an address was refused."""

    sent: bool
    status_code: int | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    failure: str | None = None
    address: str | None = None
    forbidden: str = ""

    def header(self, wanted: bytes) -> str | None:
        """Return the value of the first header of this name, or None."""
        return next((value.decode("latin-1") for name, value in self.headers if name == wanted), None)


class Caller:
    """Calls servers, and returns failures as values. Create and close it in one event loop."""

    def __init__(
        self, url: str = "", *, headers: Mapping[str, str], connections_max: int, keep_alive: bool, limits: Limits,
        idle_seconds: float = 15, ssl_context: ssl.SSLContext | None = None, proxy: str | None = None,
        guard: Guard | None = None, part: bool = False,
    ) -> None:  # fmt: skip
        """Raises ValueError for a wrong URL or header. url: the base before each target. idle_seconds: until an unused
        connection is closed. proxy: its URL, with user and password. guard: decides on each address. part: read only the
        beginning of an answer, up to `body_bytes_max`, without decoding."""
        parsed = URL(url)
        if url and (parsed.scheme not in ("http", "https") or not parsed.raw_host):
            raise ValueError(f"not the URL of a server: {url}")
        self._base, self._proxy = str(parsed).rstrip("/"), proxy
        self._limits, self._keep_alive, self._guard, self._part = limits, keep_alive, guard, part
        self._headers = _checked(headers)  # not in the session: aiohttp would also send them to the proxy
        self._exchanges: set[HttpCall] = set()
        given: dict[str, Any] = {"keepalive_timeout": idle_seconds} if keep_alive else {"force_close": True}
        if guard is not None:
            given |= {"resolver": GuardResolver(), "socket_factory": guarded_socket, "use_dns_cache": False}
        always = {"accept-encoding": "gzip, deflate", "user-agent": "waystation"}
        self._session = aiohttp.ClientSession(
            connector=Connector(ssl=ssl_context or default_ssl_context(), limit=connections_max, **given),
            cookie_jar=aiohttp.DummyCookieJar(), headers=always, request_class=Request,
            auto_decompress=False, proxy=proxy, max_line_size=FIELD_BYTES_MAX, max_field_size=FIELD_BYTES_MAX,
            read_bufsize=READ_BYTES,
        )  # fmt: skip

    async def call(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None,
        before_send: BeforeSend | None = None, limits: Limits | None = None,
    ) -> Called:  # fmt: skip
        """Make one call. Raises only what `before_send` raises, and then nothing was sent. target: path and query, escaped.
        body: JSON. before_send: awaited with an open connection, before a byte is written. limits: replace the Caller's."""
        if self._session.closed:
            return Called(False, failure="closed_before_send")
        loop, limits, url = asyncio.get_running_loop(), limits or self._limits, URL(self._base + target, encoded=True)
        dialling = Dialling(self._guard, secure=url.scheme == "https") if self._guard else None
        exchange = HttpCall(body, before_send, dialling, loop.time() + limits.total_seconds)
        framing = {} if body is None else {"content-type": "application/json", "content-length": str(len(body))}
        headers = {**self._headers, **framing, **_checked(headers or {})}
        asked = dialling and dialling_of_call.set(dialling)
        self._exchanges.add(exchange)
        timer, failure = None, None
        try:
            async with asyncio.timeout(None) as exchange.cut:  # `end` sets it
                timer = loop.call_at(exchange.until, exchange.end)
                exchange.response = await self._session.request(
                    method, url, headers=headers, allow_redirects=False, timeout=_timeout(limits), middlewares=(exchange,)
                )  # fmt: skip
                failure = await exchange.read(limits.body_bytes_max, part=self._part)
        except TimeoutError:
            failure = "closed_before_send" if self._session.closed and not exchange.sent else "total_timeout"
        except CallBroken as broken:
            failure = str(broken)
            if exchange.raised is not None:
                raise exchange.raised from None
        finally:
            if timer is not None:
                timer.cancel()
            if asked:
                dialling_of_call.reset(asked)
            self._exchanges.discard(exchange)
            exchange.leave(kept=self._keep_alive)
        return self._called(exchange, failure)

    def _called(self, exchange: HttpCall, failure: str | None) -> Called:
        response, dialling = exchange.response, exchange.dialling
        dialled = (dialling.address, dialling.forbidden) if dialling else (None, "")
        if response is not None and response.status == 407 and self._proxy and response.url.scheme == "http":
            return Called(False, failure="proxy_failed")  # the proxy itself refused
        if response is None:
            return Called(exchange.sent, None, [], b"", failure, *dialled)
        lines = [(name.lower(), value) for name, value in response.raw_headers]
        return Called(True, response.status, lines, b"".join(exchange.pieces), failure, *dialled)

    async def close(self) -> None:
        """Close all connections, also those in use."""
        for exchange in self._exchanges:
            exchange.leave(kept=False)
            if exchange.transport is None:
                exchange.end()  # it still connects
        await self._session.close()


def default_ssl_context() -> ssl.SSLContext:
    """Return a context that checks certificates and host names, with SSL_CERT_FILE if set."""
    context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _checked(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Raise ValueError if a header contains a line break or NUL."""
    for name, value in headers.items():
        if re.search(r"[\r\n\0]", name + value):
            raise ValueError(f"the header {name} has a line break in it")
    return headers


@lru_cache
def _timeout(limits: Limits) -> aiohttp.ClientTimeout:
    quiet_seconds = limits.quiet_seconds if limits.quiet_seconds < limits.total_seconds else None
    return aiohttp.ClientTimeout(connect=limits.connect_seconds, sock_read=quiet_seconds, ceil_threshold=math.inf)
