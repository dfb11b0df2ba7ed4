"""What one small GET costs in CPU, by what carries it: `python -m bench.transports`.

Each candidate polls a trivial server in another process over N keep-alive connections, N requests at a time, for
`--seconds`; CPU is this process's own, all threads. The ratio is to our caller at the same N.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing.connection import Connection as Pipe
from typing import cast

import aiohttp
import httpx
import uvloop

from app.http_client.caller import Caller, Limits

STATUS = b'{"status":"PROCESSING","request_id":"47411f110c6fa4fe05dcb9ffed2c1962","metrics":{}}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(STATUS), STATUS)

Get = Callable[[str], Awaitable[bytes]]


class Server(asyncio.Protocol):
    """Answers every request head with the same few bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(ANSWER)


def serve(pipe: Pipe) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


class AiohttpTransport(httpx.AsyncBaseTransport):
    """httpx's requests over an aiohttp session: the usual way out of httpcore."""

    def __init__(self, connections_max: int) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections_max),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with self.session.request(
            request.method,
            str(request.url),
            headers=request.headers.multi_items(),
            data=request.content,
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            return httpx.Response(answer.status, headers=answer.raw_headers, stream=httpx.ByteStream(body))

    async def aclose(self) -> None:
        await self.session.close()


async def _body(client: httpx.AsyncClient, url: str) -> bytes:
    return (await client.get(url)).content


@asynccontextmanager
async def stock(connections: int) -> AsyncIterator[Get]:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:
        yield lambda url: _body(client, url)


@asynccontextmanager
async def over_aiohttp(connections: int) -> AsyncIterator[Get]:
    async with httpx.AsyncClient(transport=AiohttpTransport(connections), timeout=60, trust_env=False) as client:
        yield lambda url: _body(client, url)


@asynccontextmanager
async def aiohttp_alone(connections: int) -> AsyncIterator[Get]:
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def get(url: str) -> bytes:
            async with session.get(url) as answer:
                return await answer.read()

        yield get


@asynccontextmanager
async def ours(connections: int) -> AsyncIterator[Get]:
    callers: dict[str, Caller] = {}

    async def get(url: str) -> bytes:
        base, _, path = url.rpartition(":")
        port, _, target = path.partition("/")
        caller = callers.get(port) or callers.setdefault(
            port,
            Caller(
                f"{base}:{port}",
                headers={},
                connections_max=connections,
                keep_alive=True,
                limits=Limits(10, 60, 60, 1_000_000),
            ),
        )
        return (await caller.call("GET", f"/{target}")).body

    try:
        yield get
    finally:
        for caller in callers.values():
            await caller.close()


CANDIDATES: dict[str, Callable[[int], AbstractAsyncContextManager[Get]]] = {
    "httpx, its own pool": stock,
    "httpx over aiohttp": over_aiohttp,
    "aiohttp alone": aiohttp_alone,
    "ours, on aiohttp": ours,
}


async def measure(candidate: str, connections: int, url: str, seconds: float) -> tuple[float, float]:
    """CPU microseconds a poll and polls a second."""
    async with CANDIDATES[candidate](connections) as get:
        polls = 0
        until = float("inf")

        async def poll() -> None:
            nonlocal polls
            while time.perf_counter() < until:
                assert await get(url) == STATUS
                polls += 1

        async def once() -> None:
            assert await get(url) == STATUS

        await asyncio.gather(*(once() for _ in range(connections)))  # all connections open before the clock runs
        cpu_at, at = time.process_time(), time.perf_counter()
        until = at + seconds
        await asyncio.gather(*(poll() for _ in range(connections)))
        return (time.process_time() - cpu_at) / polls * 1e6, polls / (time.perf_counter() - at)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=1.5)
    arguments.add_argument("--connections", type=int, nargs="*", default=[20, 200, 500])
    given = arguments.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{here.recv()}/v2/requests/47411f110c6fa4fe05dcb9ffed2c1962/status"
    print(f"{'candidate':<22}{'connections':>12}{'CPU us/poll':>13}{'x ours':>8}{'polls/s':>9}")
    try:
        for connections in given.connections:
            rows = {name: uvloop.run(measure(name, connections, url, given.seconds)) for name in CANDIDATES}
            base = rows["ours, on aiohttp"][0]
            for name, (cpu, rate) in rows.items():
                print(f"{name:<22}{connections:>12}{cpu:>13.0f}{cpu / base:>8.1f}{rate:>9.0f}")
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
