"""One exchange over a pooled connection: begun for whoever wants the body in pieces, or carried through by a `Caller`.

A Caller goes without httpx's request and response objects, which cost more than all the rest of a small exchange.
No httpx here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from app.core.http_answer import Answer, Bounds, Broken, Headers
from app.core.http_connection import Connection
from app.core.http_pool import Origin, Pool

BeforeSend = Callable[[], Awaitable[None]]
USER_AGENT: Final = "waystation"


@dataclass(frozen=True, slots=True)
class Limits:
    """What an exchange may take.

    wait_seconds: for a free connection. connect_seconds: resolve, TCP and TLS together. quiet_seconds: without a byte
    moving, either way. total_seconds: from the call to the last byte of the body, all of these included.
    """

    wait_seconds: float
    connect_seconds: float
    quiet_seconds: float
    total_seconds: float
    body_bytes_max: int


async def begin(
    pool: Pool,
    origin: Origin,
    request: bytes,
    *,
    limits: Limits,
    fresh: bool,
    before_send: BeforeSend | None = None,
    head_only: bool = False,
) -> tuple[Connection, Answer]:
    """Send a request and wait for status and headers; the connection is then the caller's to `finish`.

    Raises Broken, and what `before_send` raises: it is awaited with the connection open and nothing written yet.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limits.total_seconds
    connection = await pool.take(
        origin,
        fresh=fresh,
        wait_seconds=min(limits.wait_seconds, limits.total_seconds),
        connect_seconds=min(limits.connect_seconds, limits.total_seconds),
    )
    try:
        if before_send is not None:
            await before_send()
            if not connection.untouched:  # it took time, and its end may be in the kernel only
                raise Broken("closed_before_send", sent=False)
        left_seconds = deadline - loop.time()
        if left_seconds <= 0:
            raise Broken("total_timeout", sent=False)
        bounds = Bounds(deadline, min(limits.quiet_seconds, left_seconds), limits.body_bytes_max)
        answer = connection.start(request, bounds, head_only=head_only)
        await answer.head()
    except BaseException:
        pool.drop(connection)
        raise
    return connection, answer


def finish(pool: Pool, origin: Origin, connection: Connection, answer: Answer, *, keep: bool) -> None:
    """Give the connection back if its answer was taken whole, else drop it."""
    if answer.complete:
        pool.give_back(connection, origin, reusable=keep and answer.reusable)
    else:
        pool.drop(connection)


@dataclass(frozen=True, slots=True)
class Called:
    """How far a call got, and what of its answer came.

    sent: its first byte was handed to the socket. status_code: None where no whole head came. headers: names in lower
    case. failure: what broke it off (`half_body`), None where the answer is whole.
    """

    sent: bool
    status_code: int | None = None
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    failure: str | None = None


class Caller:
    """Calls one server, whatever comes of it."""

    def __init__(self, pool: Pool, origin: Origin, *, headers: bytes, limits: Limits, keep_alive: bool) -> None:
        """`headers`: whole lines that every request carries, Host among them; see `header_lines`."""
        self.pool = pool
        self._origin = origin
        self._headers = headers + (b"connection: keep-alive\r\n" if keep_alive else b"connection: close\r\n")
        self._limits = limits
        self._keep_alive = keep_alive

    async def call(
        self,
        method: bytes,
        target: str,
        *,
        body: bytes | None = None,
        before_send: BeforeSend | None = None,
        total_seconds: float | None = None,
        body_bytes_max: int | None = None,
    ) -> Called:
        """One exchange. `target`: path and query, escaped. `body`: JSON. Raises what `before_send` raises, nothing else."""
        limits = self._limits
        if total_seconds is not None:
            limits = replace(limits, total_seconds=total_seconds)
        if body_bytes_max is not None:
            limits = replace(limits, body_bytes_max=body_bytes_max)
        request = b"%b %b HTTP/1.1\r\n%b" % (method, target.encode("ascii"), self._headers)
        if body is None:
            request += b"\r\n"
        else:
            request += b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        try:
            connection, answer = await begin(
                self.pool, self._origin, request, limits=limits, fresh=not self._keep_alive, before_send=before_send
            )
        except Broken as broken:
            return Called(broken.sent, failure=broken.reason)
        pieces: list[bytes] = []
        failure = None
        try:
            while piece := await answer.piece():
                pieces.append(piece)
        except Broken as broken:
            failure = broken.reason
        finally:
            finish(self.pool, self._origin, connection, answer, keep=self._keep_alive)
        return Called(True, answer.status_code, answer.headers, b"".join(pieces), failure)

    async def close(self) -> None:
        """Close every connection, those in use included."""
        await self.pool.close()


def header_lines(headers: dict[str, str]) -> bytes:
    """Headers as they are sent; raises ValueError where one would break out of its line."""
    for name, value in headers.items():
        if any(character in name + value for character in "\r\n\0"):
            raise ValueError(f"the header {name} has a line break in it")
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers.items())
