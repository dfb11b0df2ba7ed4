"""deploy/nginx in front of an API that says what came through: streams, long waits, bodies, paths, addresses, methods."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.deploy.tools import copy_nginx_files, find_nginx, loopback
from tests.gateway import eventually

EVENT = b"id: 1\ndata: {}\n\n"


@dataclass
class Upstream:
    """Answers everything; a path that ends in `events` gets one event, another when told, and the end when told."""

    heads: list[bytes] = field(default_factory=list)
    again: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                await self._answer(head, reader, writer)
        writer.close()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/events " in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%s\r\n" % (len(EVENT), EVENT))
            await writer.drain()
            await self.again.wait()
            writer.write(b"%x\r\n%s\r\n" % (len(EVENT), EVENT))
            await writer.drain()
            await self.go_on.wait()
            writer.write(b"0\r\n\r\n")
        elif b"chunked" in head.lower():
            assert await reader.readexactly(6)
            self.began.set()  # the first bytes of the body are here, before its end
            await reader.readuntil(b"0\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()


@contextlib.asynccontextmanager
async def proxied(directory: Path, upstream: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of nginx with our files, in front of that address."""
    directory.chmod(0o755)
    address = loopback()
    copy_nginx_files(
        directory,
        {
            "server api:8080 resolve max_fails=0;": f"server {upstream} max_fails=0;",
            "listen 8080": f"listen {address}:8080",
            "worker_processes auto;": "worker_processes 1; user root;",
        },
    )
    process = subprocess.Popen([find_nginx(), "-e", str(directory / "errors"), "-c", str(directory / "nginx.conf")])
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}:8080", timeout=60) as client:

            async def answers() -> bool:
                assert process.poll() is None, (directory / "errors").read_text()
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get("/healthz")).status_code > 0
                return False

            await eventually(answers)
            yield client
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[Upstream, str]]:
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    async with server:
        yield upstream, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_event_arrives_when_it_happens(upstream: tuple[Upstream, str], tmp_path: Path) -> None:
    api, address = upstream
    async with proxied(tmp_path, address) as client, client.stream("GET", "/api/v1/jobs/job_1/events") as answer:
        pieces = answer.aiter_bytes()
        assert await asyncio.wait_for(anext(pieces), 30) == EVENT
        api.again.set()
        assert await asyncio.wait_for(anext(pieces), 30) == EVENT  # before the answer ends
        api.go_on.set()
        assert [piece async for piece in pieces] == []


async def test_a_body_goes_on_while_it_is_sent(upstream: tuple[Upstream, str], tmp_path: Path) -> None:
    """The gateway's own limits on slow and large bodies apply, not those of the proxy."""
    api, address = upstream

    async def body() -> AsyncIterator[bytes]:
        yield b"first "
        await asyncio.wait_for(api.began.wait(), 30)
        yield b"last"

    async with proxied(tmp_path, address) as client:
        assert (await client.post("/v2/model", content=body())).status_code == 200


async def test_paths_and_addresses_come_as_they_were_sent(upstream: tuple[Upstream, str], tmp_path: Path) -> None:
    api, address = upstream
    async with proxied(tmp_path, address) as client:
        await client.get("/v2//a%2Fb/..%2e?q=%7e", headers={"x-forwarded-for": "192.0.2.7", "x-metadata": "m" * 20_000})
    (head,) = [head for head in api.heads if b"/healthz" not in head]
    lines = head.decode().split("\r\n")
    assert lines[0] == "GET /v2//a%2Fb/..%2e?q=%7e HTTP/1.1"
    # what the client claims comes first, and is believed only if its own address is one of ours
    assert "X-Forwarded-For: 192.0.2.7, 127.0.0.1" in lines
    assert f"x-metadata: {'m' * 20_000}" in lines
    assert not [line for line in lines if line.lower().startswith("connection:")]


async def test_what_nginx_answers_itself_is_json(tmp_path: Path) -> None:
    async with proxied(tmp_path, f"{loopback()}:8080") as client:
        for path, kind in (("/v2/model", "application/json"), ("/api/v1/jobs", "application/problem+json")):
            away = await client.post(path, json={})
            assert (away.status_code, away.headers["content-type"], away.json()["code"]) == (503, kind, "unavailable")
            assert away.headers["retry-after"] == "2"
            malformed = await client.get(path, headers={"x-metadata": "m" * 70_000})
            assert (malformed.status_code, malformed.headers["content-type"]) == (400, kind)
            assert malformed.json()["code"] == "malformed"
