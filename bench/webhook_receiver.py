"""Receivers of webhooks in a process of their own: one that answers at once and notes when each event came first, and one
that never answers."""

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
ID = b"\r\nwebhook-id: "

Arrivals = dict[str, float]
"""By event, the wall clock when it came first."""


class _Live(asyncio.Protocol):
    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        if len(body) >= length:
            self._arrivals.setdefault(head.split(ID)[1].split(b"\r\n")[0].decode(), time.time())
            self._transport.write(ANSWER)
            self._transport.close()


def _serve(pipe: Pipe) -> None:
    async def run() -> None:
        arrivals: Arrivals = {}

        def tell() -> None:
            while True:
                pipe.recv()
                pipe.send(dict(arrivals))

        loop = asyncio.get_running_loop()
        live = await loop.create_server(lambda: _Live(arrivals), "127.0.0.1", 0, backlog=2048)
        hole = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, backlog=2048)
        pipe.send([server.sockets[0].getsockname()[1] for server in (live, hole)])
        threading.Thread(target=tell, daemon=True).start()
        await asyncio.gather(live.serve_forever(), hole.serve_forever())

    uvloop.run(run())


@contextmanager
def receivers() -> Iterator[tuple[str, str, int, Callable[[], Arrivals]]]:
    """URLs of the live one and of the black hole, their process, and what has arrived so far."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    server.start()
    assert server.pid is not None

    def arrived() -> Arrivals:
        here.send(None)
        told: Arrivals = here.recv()
        return told

    live, hole = (f"http://127.0.0.1:{port}/hook" for port in here.recv())
    try:
        yield live, hole, server.pid, arrived
    finally:
        server.terminate()
        server.join()
