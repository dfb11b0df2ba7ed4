"""Bodies that are compressed, or said to be."""

import asyncio
import gzip
import time
import zlib

import pytest

from app.http_client.exchange import STEP_BYTES
from tests.doubles.raw_server import Peer, answer, in_full, raw_server
from tests.http_client.callers import calling


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("deflate", zlib.compress(b"hello", wbits=-15)),
        ("", b"hello"),
        ("Identity", b"hello"),
        ("X-GZIP", gzip.compress(b"hello", mtime=0)),
    ],
)
async def test_a_body_is_decoded_whatever_its_coding_is_called(coding: str, body: bytes) -> None:
    told = answer(body, "200 OK", f"content-encoding: {coding}")
    async with raw_server(in_full(told)) as server, calling(server.url) as http:
        called = await http.get()
    assert (called.body, called.failure) == (b"hello", None)


@pytest.mark.parametrize(
    ("coding", "failure"), [("br", "unknown_coding"), ("gzip, gzip", "unknown_coding"), ("gzip", "bad_coding")]
)
async def test_a_body_in_another_coding_is_given_as_it_came(coding: str, failure: str) -> None:
    body = b'{"request_id":"1"}'
    told = answer(body, "200 OK", f"content-encoding: {coding}")
    async with raw_server(in_full(told)) as server, calling(server.url) as http:
        called = await http.post()
    assert (called.sent, called.status_code, called.body, called.failure) == (True, 200, body, failure)


@pytest.mark.parametrize("size", [STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 4 * STEP_BYTES])
async def test_a_large_body_is_decoded_in_steps_and_whole(size: int) -> None:
    told = answer(gzip.compress(b"\0" * size), "200 OK", "content-encoding: gzip")
    async with raw_server(in_full(told)) as server, calling(server.url, body_bytes_max=size) as http:
        called = await http.get()
    assert (len(called.body), called.failure) == (size, None)


async def test_a_bomb_leaves_others_their_turn() -> None:
    turns: list[float] = []

    async def tick() -> None:
        while True:
            began_at = time.thread_time()
            await asyncio.sleep(0)
            turns.append(time.thread_time() - began_at)

    size = 64 * STEP_BYTES
    told = answer(gzip.compress(b"\0" * size), "200 OK", "content-encoding: gzip")
    async with raw_server(in_full(told)) as server, calling(server.url, body_bytes_max=size - 1) as http:
        ticking = asyncio.create_task(tick())
        began_at = time.thread_time()
        called = await http.get()
        took_seconds = time.thread_time() - began_at
        await asyncio.sleep(0)
        ticking.cancel()
    assert called.failure == "body_too_large"
    assert max(turns) < 0.75 * took_seconds


async def test_every_header_of_a_coding_counts() -> None:
    twice = gzip.compress(gzip.compress(b"hello"))
    told = answer(twice, "200 OK", "content-encoding: gzip", "content-encoding: gzip")
    async with raw_server(in_full(told)) as server, calling(server.url) as http:
        called = await http.get()
    assert (called.status_code, called.body, called.failure) == (200, twice, "unknown_coding")


async def test_bytes_after_a_compressed_body_end_the_call() -> None:
    """They are beyond every cap: nothing comes out of them."""

    async def go_on(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(b"hello") + b"more")
        await peer.until_client_leaves()

    async with raw_server(go_on) as server, calling(server.url) as http:
        called = await http.get()
    assert (called.sent, called.status_code, called.failure) == (True, 200, "bad_coding")
    assert called.body == b"hello", "the id of a submit may be in it"
