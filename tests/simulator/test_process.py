"""The simulator as a process of its own, on uvloop: how it ends, and that resets and half answers work there too."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.simulator.book import Book

KEY = {"x-api-key": "SG_abcd1234"}
PROGRAM = """
import sys, uvloop
from pathlib import Path
from app.core.logs.log import configure_logging
from app.simulator.config import SimulatorConfig
from app.simulator.surface.serve import run_simulator
configure_logging(format="json", level="INFO")
config = SimulatorConfig(book_path=Path(sys.argv[1]))
uvloop.run(run_simulator(config, on_ready=lambda running: print(running.url, flush=True)))
"""
REQUEST = (
    b"POST /v2/sim-instant HTTP/1.1\r\nx-api-key: k\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
)


@contextlib.contextmanager
def simulator(path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running process and its URL; killed on exit if it is still there."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "book"
    with simulator(path) as (process, url), httpx.Client(base_url=url, headers=KEY, timeout=60) as client:
        answered = [client.post("/v2/sim-video", json={"n": n}).json()["request_id"] for n in range(50)]
        process.kill()
    assert Book.read(path).started_ids() == answered
    with simulator(path) as (process, url), httpx.Client(base_url=url, headers=KEY, timeout=60) as client:
        statuses = [client.get(f"/v2/requests/{request_id}/status").status_code for request_id in answered]
    assert statuses == [200] * 50


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    with simulator(tmp_path / "book") as (process, url):
        with httpx.Client(base_url=url, headers=KEY, timeout=60) as client:
            assert client.get("/v1/get-user-credits").status_code == 200
            process.send_signal(number)
            assert process.wait(5) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)


@pytest.mark.parametrize(
    ("rule", "end", "answered"),
    [
        ({"fault": "reset"}, "reset", b""),
        ({"fault": "close"}, "close", b""),
        ({"fault": "lose_answer", "how": "reset"}, "reset", b""),
        ({"fault": "lose_answer", "after": "body"}, "close", b'{"request_id":"'),
        ({"fault": "lose_answer", "after": "body", "how": "reset"}, "reset", b'{"request_id":"'),
        ({"fault": "close_idle"}, "close", b'{"request_id":"'),
    ],
)
async def test_connections_end_the_same_way_on_uvloop(
    tmp_path: Path, rule: dict[str, str], end: str, answered: bytes
) -> None:
    with simulator(tmp_path / "book") as (_, url):
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            assert (await client.put("/_simulator/faults", json=rule)).status_code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        came, seen = b"", "close"
        writer.write(REQUEST)
        try:
            async with asyncio.timeout(60):
                while more := await reader.read(65536):
                    came += more
        except ConnectionResetError:
            seen = "reset"
        writer.transport.abort()
    assert (seen, came.partition(b"\r\n\r\n")[2][: len(answered)]) == (end, answered)
