"""Bodies larger than what may wait to be read: aiohttp stops reading the socket in the middle, and goes on."""

import asyncio
import gzip
import random
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from app.http_client.caller import Called
from tests.doubles.raw_server import answer, in_full, raw_server
from tests.http_client.callers import calling

LARGE = random.Random(15).randbytes(3_000_000)
BODIES = {
    "content-length": answer(LARGE),
    "bytes after it": answer(LARGE) + b"<html>",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(LARGE), LARGE),
    "gzip": answer(gzip.compress(LARGE, 1), "200 OK", "content-encoding: gzip"),
}


@pytest.mark.parametrize("raw", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_large_body_comes_whole(raw: bytes, run: Callable[[Any], Called]) -> None:
    async def get() -> Called:
        async with raw_server(in_full(raw)) as server, calling(server.url, body_bytes_max=4_000_000) as http:
            return await http.get()

    called = run(get())
    assert (called.failure, called.body) == (None, LARGE)
