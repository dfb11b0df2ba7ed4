"""A server that stops answers everybody first, closes what is idle, and does not wait for what is over."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from app.web.deadlines import FAREWELL_SECONDS
from app.web.server.protocol import Protocol
from app.web.server.serving import Server
from app.web.server.timing import Phase
from tests.gateway import eventually

GET = b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
PROMPT_SECONDS = 15.0
"""Far below every grace here, and far above what a busy machine takes for nothing."""


class Served:
    """`/wait` is answered when it is released, `/stuck` never; everything else at once, with its body read."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.waiting = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        while (await receive()).get("more_body"):
            pass
        self.waiting += 1
        if scope["path"] == "/wait":
            await self.released.wait()
        elif scope["path"] == "/stuck":
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


class Running:
    """A server in this very loop, and the task that ends with it."""

    def __init__(self, app: Served, server: Server, task: "asyncio.Task[None]", stopping: asyncio.Event) -> None:
        self.app, self.server, self.task, self.stopping = app, server, task, stopping
        self.port: int = server.servers[0].sockets[0].getsockname()[1]

    async def ask(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        return reader, writer

    async def arrived(self, count: int) -> None:
        """So many requests have reached the application."""
        await self.until(lambda: self.app.waiting >= count)

    async def until(self, holds: Callable[[], bool]) -> None:
        async def look() -> bool:
            return holds()

        await eventually(look)

    async def ended(self) -> float:
        """The seconds until it has ended, from now."""
        began_at = time.monotonic()
        async with asyncio.timeout(60):
            await self.task
        return time.monotonic() - began_at


@asynccontextmanager
async def running(*, delay_seconds: float = 0.0, grace_seconds: float = 60.0) -> AsyncIterator[Running]:
    app, stopping = Served(), asyncio.Event()
    config = uvicorn.Config(app, port=0, http=Protocol, ws="none", log_config=None, access_log=False)
    server = Server(
        config,
        delay_seconds=delay_seconds,
        grace_seconds=grace_seconds,
        stopping=stopping,
        release=app.released.set,
    )
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await eventually(started)
    try:
        yield Running(app, server, task, stopping)
    finally:
        server.stop(delayed=False)
        server.hurry()
        async with asyncio.timeout(60):
            await task


async def read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of all that comes until the end of the connection; (0, {}, b"") where nothing does."""
    async with asyncio.timeout(60):
        whole = await reader.read()
    if not whole:
        return 0, {}, b""
    head, _, body = whole.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}, body


async def test_who_waits_is_answered_and_the_process_ends_at_once() -> None:
    async with running() as one:
        waits = [await one.ask(GET % b"/wait") for _ in range(20)]
        await one.arrived(20)
        one.server.stop()
        for reader, writer in waits:
            status, headers, body = await read(reader)
            assert (status, headers["connection"], body) == (200, "close", b"{}")
            writer.close()
        assert await one.ended() < PROMPT_SECONDS
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", one.port)


async def test_during_the_delay_all_is_served_and_connections_are_given_up_one_by_one() -> None:
    async with running(delay_seconds=60) as one:
        kept, kept_writer = await one.ask(GET % b"/")
        await kept.readuntil(b"{}")
        waiting, waiting_writer = await one.ask(GET % b"/wait")
        await one.arrived(2)
        one.server.stop()
        assert one.stopping.is_set()
        kept_writer.write(GET % b"/")
        status, headers, _ = await read(kept)
        assert (status, headers["connection"]) == (200, "close")
        new, new_writer = await one.ask(GET % b"/")
        assert (await read(new))[1]["connection"] == "close"
        assert not one.app.released.is_set()
        assert not one.task.done()
        one.server.hurry()
        status, headers, _ = await read(waiting)
        assert (status, headers["connection"]) == (200, "close")
        assert await one.ended() < PROMPT_SECONDS
        for writer in (kept_writer, new_writer, waiting_writer):
            writer.close()


async def test_a_request_that_comes_on_an_idle_connection_meanwhile_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.web.server.protocol.FAREWELL_SECONDS", 30.0)
    async with running() as one:
        used, used_writer = await one.ask(GET % b"/")
        await used.readuntil(b"{}")
        new, new_writer = await one.ask(b"")
        await one.until(lambda: len(one.server.server_state.connections) == 2)
        one.server.stop()
        await one.until(one.app.released.is_set)
        for reader, writer in ((used, used_writer), (new, new_writer)):
            writer.write(GET % b"/")
            status, headers, _ = await read(reader)
            assert (status, headers["connection"]) == (200, "close")
            writer.close()
        assert await one.ended() < PROMPT_SECONDS


async def test_idle_connections_hold_nobody_up() -> None:
    async with running() as one:
        used, used_writer = await one.ask(GET % b"/")
        await used.readuntil(b"{}")
        new, new_writer = await one.ask(b"")
        await one.until(lambda: len(one.server.server_state.connections) == 2)
        one.server.stop()
        assert FAREWELL_SECONDS / 2 < await one.ended() < PROMPT_SECONDS
        assert (await read(used), await read(new)) == ((0, {}, b""), (0, {}, b""))
        used_writer.close()
        new_writer.close()


async def test_half_a_request_may_still_come_whole() -> None:
    async with running() as one:
        head, head_writer = await one.ask(b"GET / HTTP/1.1\r\nhost")
        body, body_writer = await one.ask(POST + b'{"a"')
        await one.until(
            lambda: len(one.server.server_state.connections) == 2 and len(one.server.server_state.tasks) == 1
        )
        one.server.stop()
        await one.until(one.app.released.is_set)
        head_writer.write(b": a\r\n\r\n")
        body_writer.write(b": 10}")
        for reader, writer in ((head, head_writer), (body, body_writer)):
            status, headers, _ = await read(reader)
            assert (status, headers["connection"]) == (200, "close")
            writer.close()
        assert await one.ended() < PROMPT_SECONDS


@pytest.mark.parametrize(
    "request_",
    [GET % b"/stuck", POST + b"{", b"GET / HT"],
    ids=["no answer", "half a body", "half a head"],
)
async def test_at_the_end_of_the_grace_the_rest_is_told_in_json(request_: bytes) -> None:
    async with running(grace_seconds=0) as one:
        reader, writer = await one.ask(request_)
        await one.until(lambda: any(c._phase is not Phase.IDLE for c in one.server.server_state.connections))
        one.server.stop()
        status, headers, body = await read(reader)
        writer.close()
        assert (status, headers["content-type"], headers["connection"]) == (503, "application/json", "close")
        assert headers["retry-after"] == "1"
        told = json.loads(body)
        assert (told["code"], told["status"]) == ("shutting_down", 503)
        assert "Idempotency-Key" in told["error"]
        assert await one.ended() < PROMPT_SECONDS


async def test_pipelined_requests_that_nobody_answers_are_cut_off() -> None:
    async with running(grace_seconds=0) as one:
        _reader, writer = await one.ask(GET % b"/stuck" + GET % b"/stuck")
        await one.arrived(1)
        one.server.stop()
        assert await one.ended() < PROMPT_SECONDS
        writer.close()
