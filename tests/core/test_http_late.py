"""A process that is held up longer than an exchange may last still reads the answer that has come meanwhile: sockets before timers."""

import asyncio
import socket
import threading
import time

import uvloop

from app.core.http import open_client

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TOTAL_SECONDS = 0.3
HELD_UP_SECONDS = 0.8


def _answer_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        time.sleep(0.1)
        connection.sendall(ANSWER)
        connection.recv(1)


async def _ask(port: int) -> tuple[int, bytes]:
    client = open_client(
        connections_max=1,
        keep_alive=False,
        connect_seconds=1,
        read_seconds=TOTAL_SECONDS,
        total_seconds=TOTAL_SECONDS,
        body_bytes_max=100,
    )
    asked = asyncio.create_task(client.post(f"http://127.0.0.1:{port}/"))
    await asyncio.sleep(0.05)
    time.sleep(HELD_UP_SECONDS)  # nothing else runs meanwhile: this is the point
    answer = await asked
    await client.aclose()
    return answer.status_code, answer.content


def _asked(run: "type[asyncio.Runner]", **options: object) -> tuple[int, bytes]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=_answer_once, args=(listener,))
        server.start()
        with run(**options) as runner:  # type: ignore[arg-type]
            answered = runner.run(_ask(listener.getsockname()[1]))
        server.join()
    return answered


async def test_asyncio() -> None:
    assert await asyncio.to_thread(_asked, asyncio.Runner) == (200, b"ok")


async def test_uvloop() -> None:
    assert await asyncio.to_thread(_asked, asyncio.Runner, loop_factory=uvloop.new_event_loop) == (200, b"ok")
