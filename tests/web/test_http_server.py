"""A request must be whole in time, an answer must be taken in time, and a refusal is read before the end."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from app.core.errors import Refusal
from app.web.bodies import Bodies
from app.web.deadlines import BODY_SECONDS, BODY_WINDOW_SECONDS, Progress
from app.web.parse_budget import Allowance
from app.web.server import protocol as http_server
from app.web.server import timing as http_timing
from app.web.server.protocol import Protocol
from app.web.server.rules import HttpRules
from tests.gateway import eventually

BIG = 8 * 1024 * 1024


class Served:
    """An application that reads bodies as the product does."""

    def __init__(self) -> None:
        self.bodies = Bodies()
        self.let_go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        status, answer = 200, b"{}"
        if scope["path"] == "/read":
            try:
                answer = str(len(await self.bodies.read_any(_Request(scope, receive), Allowance("a")))).encode()
            except Refusal as refusal:
                status, answer = refusal.status, json.dumps({"code": refusal.code}).encode()
        elif scope["path"] == "/wait":
            await self.let_go.wait()
        elif scope["path"] == "/refused":
            status, answer = 401, b'{"code":"unauthorized"}'
        elif scope["path"] == "/big":
            answer = b"x" * BIG
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-length", str(len(answer)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": answer})


class _Request:
    def __init__(self, scope: Any, receive: Any) -> None:
        self.scope, self.receive = scope, receive


class Server:
    """One that listens, in this very loop."""

    def __init__(self, app: Served, inner: uvicorn.Server, port: int) -> None:
        self.app, self.inner, self.port = app, inner, port

    @property
    def connections(self) -> set[Any]:
        return self.inner.server_state.connections

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    app = Served()
    config = uvicorn.Config(
        HttpRules(app),
        interface="asgi3",
        port=0,
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
    )
    inner = uvicorn.Server(config)
    inner.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(inner.serve())

    async def port() -> int | None:
        return inner.servers[0].sockets[0].getsockname()[1] if inner.started else None

    yield Server(app, inner, await eventually(port))
    app.let_go.set()
    inner.should_exit = True
    await task


async def everything(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        return await reader.read()


def quick(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    for name, value in seconds.items():
        for module in (http_server, http_timing):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)


async def test_half_a_head_is_answered_and_closed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, HEAD_SECONDS=0.2, LINGER_SECONDS=0.2)
    reader, writer = await server.connect()
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: a")
    answer = await everything(reader)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "head_too_slow"
    writer.close()


async def test_a_dripping_head_gains_no_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, HEAD_SECONDS=0.3, LINGER_SECONDS=0.2)
    reader, writer = await server.connect()
    writer.write(b"GET /healthz HTTP/1.1\r\n")

    async def drip() -> None:
        while True:
            writer.write(b"a: b\r\n")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    assert (await everything(reader)).startswith(b"HTTP/1.1 408 ")
    dripping.cancel()
    writer.close()


async def test_an_idle_connection_is_closed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, IDLE_SECONDS=0.2)
    new, new_writer = await server.connect()
    used, used_writer = await server.connect()
    used_writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert await everything(new) == b""
    assert (await everything(used)).endswith(b"{}")
    new_writer.close()
    used_writer.close()


async def test_nobody_who_waits_for_an_answer_is_hit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, HEAD_SECONDS=0.05, IDLE_SECONDS=0.05, BODY_WINDOW_SECONDS=0.05)
    reader, writer = await server.connect()
    writer.write(b"POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await reader.read(1)
    server.app.let_go.set()
    assert (await everything(reader)).endswith(b"{}")
    writer.close()


@pytest.mark.parametrize("target", [b"POST /read", b"POST /re%61d", b"HEAD /re%61d"])
async def test_a_slow_body_is_answered_408(server: Server, monkeypatch: pytest.MonkeyPatch, target: bytes) -> None:
    """Also where the application is given a copy of the request's scope."""
    quick(monkeypatch, BODY_WINDOW_SECONDS=0.2, LINGER_SECONDS=0.2)
    reader, writer = await server.connect()
    writer.write(target + b" HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000\r\n\r\n{}")
    answer = await everything(reader)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer
    assert target.startswith(b"HEAD") or b'"body_too_slow"' in answer
    assert server.app.bodies.memory.total == 0
    writer.close()


async def test_a_timer_set_for_the_time_before_hits_no_body(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, IDLE_SECONDS=0.3)
    reader, writer = await server.connect()
    writer.write(b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.6):
            await reader.read(1)
    writer.write(b"}")
    async with asyncio.timeout(30):
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_a_body_in_pieces_is_read_and_its_connection_goes_on(server: Server) -> None:
    reader, writer = await server.connect()
    for _ in range(2):
        writer.write(b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n")
        for _ in range(3):
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(b"x" * 100_000)
        async with asyncio.timeout(30):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"200 OK" in head
            assert b"connection: close" not in head
            assert await reader.readexactly(6) == b"300000"
    writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("size", [100_000, 50_000_000])
async def test_a_refusal_of_an_unread_body_is_read_and_ends_the_connection(server: Server, size: int) -> None:
    reader, writer = await server.connect()
    writer.write(b"POST /refused HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)

    async def send() -> None:
        with contextlib.suppress(OSError):
            for _ in range(size // 50_000 - 1):
                writer.write(b"x" * 50_000)
                await writer.drain()

    sending = asyncio.create_task(send())
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(23) == b'{"code":"unauthorized"}'
        assert head.startswith(b"HTTP/1.1 401 ")
        assert b"connection: close" in head
        await sending
    writer.close()

    async def gone() -> bool:
        return not server.connections

    await eventually(gone)


async def test_who_does_not_read_an_answer_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, IDLE_SECONDS=0.2, BODY_WINDOW_SECONDS=0.2)
    _reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.write(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n")

    async def gone() -> bool:
        return not server.connections

    await eventually(gone)
    assert not server.connections
    writer.close()


async def test_who_reads_slowly_but_steadily_gets_all_of_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may stop the reader for as long as nobody may stand still: then it begins anew."""
    quick(monkeypatch, IDLE_SECONDS=0.2, BODY_WINDOW_SECONDS=0.2)
    loop = asyncio.get_running_loop()
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET /big HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        size, stood_still, read_at = 0, 0.0, loop.time()
        async with asyncio.timeout(120):
            while piece := await reader.read(1 << 20):
                size += len(piece)
                await asyncio.sleep(0.01)
                stood_still, read_at = max(stood_still, loop.time() - read_at), loop.time()
        writer.close()
        if size > BIG or stood_still < 0.1:
            break
    assert size > BIG


async def test_the_longest_idle_make_room(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Protocol, "connections_max", 3)
    first, first_writer = await server.connect()
    others = [await server.connect() for _ in range(3)]
    with contextlib.suppress(ConnectionResetError):
        assert await everything(first) == b""
    for _, writer in [(first, first_writer), *others]:
        writer.close()


async def test_where_all_are_at_work_a_new_one_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Protocol, "connections_max", 2)
    busy = [await server.connect() for _ in range(2)]
    for _, writer in busy:
        writer.write(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")

    async def at_work() -> bool:
        return len(server.inner.server_state.tasks) == 2

    await eventually(at_work)
    reader, writer = await server.connect()
    answer = await everything(reader)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer
    for _, one in [*busy, (reader, writer)]:
        one.close()


async def test_half_sent_bodies_take_a_bounded_memory(server: Server) -> None:
    held = []
    for _ in range(8):
        reader, writer = await server.connect()
        writer.write(b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n")
        held.append((reader, writer))
        with contextlib.suppress(OSError):
            writer.write(b"x" * 9_000_000)
            await writer.drain()
    refused = 0
    for reader, writer in held[4:]:
        async with asyncio.timeout(30):
            refused += b"503" in await reader.readuntil(b"\r\n")
        writer.close()
    assert refused == 4
    assert server.app.bodies.memory.total <= 40 * 1024 * 1024
    for _, writer in held[:4]:
        writer.close()

    async def freed() -> bool:
        return server.app.bodies.memory.total == 0

    await eventually(freed)


def test_a_body_is_judged_by_its_progress() -> None:
    steady = Progress(0.0)
    for window in range(1, 6):
        steady.count += 10_000
        assert not steady.too_slow(window * BODY_WINDOW_SECONDS, waiting=False)
    steady.count += 1_000_000
    assert steady.too_slow(BODY_SECONDS, waiting=False)
    assert Progress(0.0, 9_999).too_slow(BODY_WINDOW_SECONDS, waiting=False)


def test_a_body_is_not_blamed_for_time_in_which_nobody_reads_it() -> None:
    held_up = Progress(0.0)
    assert not held_up.too_slow(50.0, waiting=True)
    held_up.count += 60_000
    assert not held_up.too_slow(105.0, waiting=False)
    held_up.count += 60_000
    assert held_up.too_slow(110.0, waiting=False)


UPGRADE = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
NEXT = b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize("chunked", [False, True])
async def test_the_body_of_a_request_that_offers_another_protocol_is_a_body(
    server: Server, pieces: int, chunked: bool
) -> None:
    """As Java's HttpClient and curl send it where they would speak HTTP/2; a request within it is never answered."""
    inner = NEXT * 3
    framing = b"transfer-encoding: chunked\r\n" if chunked else b"content-length: %d\r\n" % len(inner)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner) if chunked else inner
    request = b"POST /read HTTP/1.1\r\nhost: a\r\n" + UPGRADE + framing + b"\r\n" + body
    request += b"GET /refused HTTP/1.1\r\nhost: a\r\n" + UPGRADE + b"\r\nGET /none HTTP/1.1\r\nhost: a\r\n\r\n"
    reader, writer = await server.connect()
    size = len(request) // pieces + 1
    for start in range(0, len(request), size):
        writer.write(request[start : start + size])
        await asyncio.sleep(0.02)
    answers = b""
    async with asyncio.timeout(60):
        while answers.count(b"HTTP/1.1 ") < 3:
            answers += await reader.read(65536)
    writer.close()
    first, second, third = answers.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200 ")
    assert first.endswith(b"\r\n\r\n%d" % len(inner))
    assert second.startswith(b"401 ")
    assert third.startswith(b"200 ")


async def test_of_many_offers_of_another_protocol_none_is_lost(server: Server) -> None:
    reader, writer = await server.connect()
    writer.write((b"GET /none HTTP/1.1\r\nhost: a\r\n" + UPGRADE + b"\r\n") * 500)
    answers = b""
    async with asyncio.timeout(60):
        while answers.count(b"HTTP/1.1 200 ") < 500:
            answers += await reader.read(65536)
    writer.close()
    assert answers.count(b"HTTP/1.1 200 ") == 500
