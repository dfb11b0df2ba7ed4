"""A process that is held up longer than an exchange may last still reads the answer that has come meanwhile: sockets before timers."""

import asyncio
import socket
import threading
import time

import uvloop

from app.http_client.caller import Caller, Limits

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TOTAL_SECONDS = 1.5


class _Server:
    """Answers one request, once it may."""

    def __init__(self) -> None:
        self.received, self.may_answer, self.answered = threading.Event(), threading.Event(), threading.Event()

    def answer_once(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            self.received.set()
            self.may_answer.wait()
            connection.sendall(ANSWER)
            self.answered.set()
            connection.recv(1)


async def _ask(port: int, server: _Server) -> tuple[int | None, bytes]:
    limits = Limits(TOTAL_SECONDS, TOTAL_SECONDS, TOTAL_SECONDS, 100)
    caller = Caller(f"http://127.0.0.1:{port}", headers={}, connections_max=1, keep_alive=False, limits=limits)
    began_at = time.monotonic()
    asked = asyncio.create_task(caller.call("POST", "/", body=b""))
    await asyncio.to_thread(server.received.wait)
    server.may_answer.set()
    # nothing else runs meanwhile: this is the point
    server.answered.wait()
    time.sleep(max(0.0, began_at + TOTAL_SECONDS + 0.1 - time.monotonic()))
    answer = await asked
    await caller.close()
    return answer.status_code, answer.body


def _asked(run: "type[asyncio.Runner]", **options: object) -> tuple[int | None, bytes]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Server()
        thread = threading.Thread(target=server.answer_once, args=(listener,))
        thread.start()
        with run(**options) as runner:  # type: ignore[arg-type]
            answered = runner.run(_ask(listener.getsockname()[1], server))
        thread.join()
    return answered


async def test_asyncio() -> None:
    assert await asyncio.to_thread(_asked, asyncio.Runner) == (200, b"ok")


async def test_uvloop() -> None:
    assert await asyncio.to_thread(_asked, asyncio.Runner, loop_factory=uvloop.new_event_loop) == (200, b"ok")
