"""The cheapest HTTP/1.1 client that will do: keep-alive, one exchange a connection, callbacks; for load generators."""

import asyncio
from collections.abc import Callable
from typing import cast

Done = Callable[[int, bytes], None]
"""Called with the status (0: the connection was lost) and the body."""


class _Connection(asyncio.Protocol):
    def __init__(self, client: "HttpClient") -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._done: Done | None = None
        self._queued: bytes | None = None

    def send(self, request: bytes, done: Done) -> None:
        self._done = done
        if self._transport is None:
            self._queued = request
        else:
            self._transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._queued is not None:
            self._transport.write(self._queued)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.forget(self)
        self._answered(0, b"")

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) >= length:
            self._buffer = b""
            self._client.rest(self)
            self._answered(int(head[9:12]), body)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _answered(self, status: int, body: bytes) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(status, body)


class HttpClient:
    """Opens connections as they are needed; requests are whole bytes, head and body."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def send(self, request: bytes, done: Done) -> None:
        """One exchange, at once."""
        if self._idle:
            self._idle.pop().send(request, done)
            return
        connection = _Connection(self)
        connection.send(request, done)
        self._open.add(connection)
        task = asyncio.get_running_loop().create_task(self._connect(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def rest(self, connection: _Connection) -> None:
        """It is free for another exchange."""
        self._idle.append(connection)

    def forget(self, connection: _Connection) -> None:
        """It is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close all."""
        for connection in list(self._open):
            connection.close()

    async def _connect(self, connection: _Connection) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, self._host, self._port)
        except OSError as error:
            connection.connection_lost(error)


def request_bytes(method: str, path: str, *, host: str, key: str, body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {key}\r\n"
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body
