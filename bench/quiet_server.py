"""An upstream on which everything runs for ever: the same few bytes for every request, and a note of when it came."""

import asyncio
import multiprocessing
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import cast

import uvloop

STATUS = b'{"status":"PROCESSING","request_id":"47411f110c6fa4fe05dcb9ffed2c1962","metrics":{}}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(STATUS), STATUS)

Seen = dict[bytes, list[float]]
"""By path, when it was asked for, since the last look."""


class _Server(asyncio.Protocol):
    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self._seen[data[: data.index(b" HTTP")]].append(time.monotonic())
            self._transport.write(ANSWER)


def _serve(pipe: Pipe) -> None:
    async def run() -> None:
        seen: Seen = defaultdict(list)

        def tell() -> None:
            while True:
                pipe.recv()
                told = dict(seen)
                seen.clear()
                pipe.send(told)

        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Server(seen), "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        threading.Thread(target=tell, daemon=True).start()
        await server.serve_forever()

    uvloop.run(run())


@contextmanager
def quiet_server() -> Iterator[tuple[str, int, Callable[[], Seen]]]:
    """Its URL, its process, and what it has seen since it was last asked."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    server.start()
    assert server.pid is not None

    def seen() -> Seen:
        here.send(None)
        told: Seen = here.recv()
        return told

    try:
        yield f"http://127.0.0.1:{here.recv()}", server.pid, seen
    finally:
        server.terminate()
        server.join()
