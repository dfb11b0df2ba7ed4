"""Stands in for `python -m app.cli`: the commands `api`, `worker` and `simulator`, and nothing behind them."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if not await reader.readline():  # somebody who only looks whether we are here
        writer.close()
        return
    body = str(os.getpid()).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()
    writer.close()


async def serve(listener: socket.socket) -> None:
    server = await asyncio.start_server(answer, sock=listener)
    await until_told()
    server.close()


async def until_told() -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()


def main() -> None:
    command, *arguments = sys.argv[1:]
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    print(command, sorted(options), flush=True)
    if command == "api":
        asyncio.run(serve(socket.socket(fileno=int(options["--fd"]))))
    elif command == "simulator":
        asyncio.run(serve(socket.create_server((options["--host"], int(options["--port"])))))
    else:
        Path(os.environ["STANDIN_DIRECTORY"], f"worker-{os.getpid()}").touch()
        asyncio.run(until_told())


main()
