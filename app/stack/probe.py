"""Whether somebody answers on a port."""

import asyncio
import contextlib

_ANSWER_SECONDS = 5.0


async def answers(host: str, port: int, path: str | None = None) -> bool:
    """Whether a connection is taken there, and, with `path`, a GET of it answered with 200."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                if path is None:
                    return True
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    return False
