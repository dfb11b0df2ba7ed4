"""Calls without httpx: what they send, what they give back, and what they leave behind. More in upstream/test_client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from app.core.http import open_caller
from app.core.http_exchange import Caller, Limits, header_lines
from tests.doubles.raw_server import answer, cut_after, hang_after, in_full, raw_server

LIMITS = Limits(wait_seconds=30, connect_seconds=30, quiet_seconds=30, total_seconds=60, body_bytes_max=1000)
IMPATIENT = replace(LIMITS, quiet_seconds=0.2)


@asynccontextmanager
async def caller(url: str, *, keep_alive: bool = True, limits: Limits = LIMITS) -> AsyncIterator[Caller]:
    made = open_caller(url, headers={"x-api-key": "k"}, connections_max=2, keep_alive=keep_alive, limits=limits)
    try:
        yield made
        assert made.pool.busy == 0, "a call left its connection behind"
    finally:
        await made.close()


async def test_a_call_sends_what_it_should_and_keeps_the_connection() -> None:
    answers = in_full(answer(b"[1]", "200 OK", "X-A: b \t"), answer(b"[2]"))
    async with raw_server(answers) as server, caller(server.url) as http:
        first = await http.call(b"GET", "/a?b=c")
        second = await http.call(b"POST", "/d", body=b"{}")
        assert http.pool.idle == 1
    assert (first.status_code, first.body, first.failure) == (200, b"[1]", None)
    assert (b"x-a", b"b") in first.headers
    assert (second.sent, second.body) == (True, b"[2]")
    assert len(server.peers) == 1
    one, two, _ = bytes(server.received).split(b"\r\n\r\n")
    assert one.startswith(b"GET /a?b=c HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\nx-api-key: k\r\n" in one + b"\r\n"
    assert b"content-length" not in one
    assert two.startswith(b"POST /d HTTP/1.1\r\n")
    assert b"\r\ncontent-type: application/json\r\ncontent-length: 2" in two


async def test_what_came_of_a_broken_call_is_told_as_a_value() -> None:
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"
    async with raw_server(cut_after(half)) as server, caller(server.url) as http:
        called = await http.call(b"GET", "/")
        assert (called.sent, called.status_code, called.body, called.failure) == (True, 200, b"ab", "half_body")
        assert http.pool.idle == 0
    async with raw_server(hang_after()) as server, caller(server.url, limits=IMPATIENT) as http:
        called = await http.call(b"GET", "/")
        assert (called.sent, called.status_code, called.failure) == (True, None, "read_timeout")
    async with caller("http://127.0.0.1:1") as http:
        called = await http.call(b"GET", "/")
        assert (called.sent, called.failure) == (False, "connect_refused")


async def test_a_call_has_its_own_limits_where_asked() -> None:
    async with raw_server(in_full(answer(b"x" * 20))) as server, caller(server.url, keep_alive=False) as http:
        called = await http.call(b"GET", "/", body_bytes_max=10)
        assert called.failure == "body_too_large"
        called = await http.call(b"GET", "/", total_seconds=0.0)
        assert not called.sent


def test_a_header_cannot_break_out_of_its_line() -> None:
    assert header_lines({"a": "b"}) == b"a: b\r\n"
    with pytest.raises(ValueError, match="line break"):
        header_lines({"x-api-key": "k\r\nhost: elsewhere"})


def test_only_a_server_can_be_called() -> None:
    with pytest.raises(ValueError, match="not the URL of a server"):
        open_caller("ftp://example.com", headers={}, connections_max=1, keep_alive=True, limits=LIMITS)
