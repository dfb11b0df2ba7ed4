"""A simulator on a real socket, a client for it, and a raw socket for what clients hide."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.simulator.config import SimulatorConfig
from app.simulator.surface.serve import RunningSimulator, running_simulator

KEY = "SG_3ec0a235721add59"

Submit = Callable[..., Awaitable[str]]
Poll = Callable[..., Awaitable[httpx.Response]]
Raw = Callable[..., Awaitable[tuple[bytes, str]]]


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running_simulator(SimulatorConfig(speed=1000, seed=7)) as running:
        yield running


@pytest.fixture
async def client(sim: RunningSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=sim.url, headers={"x-api-key": KEY}, timeout=60) as made:
        yield made


@pytest.fixture
def submit(client: httpx.AsyncClient) -> Submit:
    async def do(slug: str = "sim-instant", **parameters: Any) -> str:
        response = await client.post(f"/v2/{slug}", json=parameters)
        assert response.status_code == 200, response.text
        return str(response.json()["request_id"])

    return do


@pytest.fixture
def finished(client: httpx.AsyncClient) -> Poll:
    """The status once it is final."""

    async def do(request_id: str) -> httpx.Response:
        for _ in range(500):
            response = await client.get(f"/v2/requests/{request_id}/status")
            if response.json()["status"] in ("COMPLETED", "FAILED"):
                return response
            await asyncio.sleep(0.01)
        raise AssertionError(f"{request_id} does not end: {response.text}")

    return do


@pytest.fixture
def raw(sim: RunningSimulator) -> Raw:
    """Send bytes, read for a while: what came, and how it stands with the connection: close, reset or open."""

    async def do(data: bytes, *, seconds: float = 5) -> tuple[bytes, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
        came = b""
        try:
            writer.write(data)
            async with asyncio.timeout(seconds):
                while more := await reader.read(65536):
                    came += more
            return came, "close"
        except TimeoutError:
            return came, "open"
        except ConnectionResetError:
            return came, "reset"
        finally:
            writer.transport.abort()

    return do


def post(slug: str = "sim-instant", body: bytes = b'{"a":1}', version: str = "v2") -> bytes:
    """The bytes of a submit."""
    head = f"POST /{version}/{slug} HTTP/1.1\r\nhost: sim\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    """The bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nhost: sim\r\nx-api-key: {KEY}\r\n\r\n".encode()


@pytest.fixture
def post_bytes() -> Callable[..., bytes]:
    return post


@pytest.fixture
def get_bytes() -> Callable[[str], bytes]:
    return get
