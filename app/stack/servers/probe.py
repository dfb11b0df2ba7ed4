"""Check whether a server answers on a port."""

import asyncio
import contextlib

_ANSWER_SECONDS = 5.0


_BYTES_MAX = 65_536


async def answers(host: str, port: int, path: str | None = None, *, or_says: bytes | None = None) -> bool:
    """Return whether a port accepts a connection; with `path`, whether a GET answers 200, or has `or_says` in its answer."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                if path is None:
                    return True
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
                if (await reader.readline()).split()[1:2] == [b"200"]:
                    return True
                return or_says is not None and or_says in await reader.read(_BYTES_MAX)
            finally:
                writer.close()
    return False
