"""Calls to servers that misbehave byte by byte: what was sent, what came back, what is left behind."""

import asyncio
import gzip
import zlib

import pytest

from app.http_client.caller import Caller, Limits
from tests.doubles.raw_server import Peer, RawServer, answer, cut_after, hang_after, in_full, raw_server, unused_port
from tests.gateway import eventually
from tests.http_client.callers import calling
from tests.stopwatch import Stopwatch

OK = answer(b"hello")


BODIES = {
    "content-length": (OK, b"hello"),
    "empty": (answer(b""), b""),
    "chunked": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nx-late: 1\r\n\r\n",
        b"hello",
    ),
    "interim": (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, b"hello"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b""),
    "gzip": (answer(gzip.compress(b"hello"), "200 OK", "content-encoding: gzip"), b"hello"),
    "deflate": (answer(zlib.compress(b"hello"), "200 OK", "content-encoding: deflate"), b"hello"),
}


@pytest.mark.parametrize(("raw", "body"), BODIES.values(), ids=BODIES)
async def test_a_well_formed_answer_is_read_and_its_connection_used_again(raw: bytes, body: bytes) -> None:
    async with raw_server(in_full(raw, raw)) as server, calling(server.url) as http:
        for _ in range(2):
            got = await http.get()
            assert (got.body, got.failure) == (body, None)
            assert got.header(b"link") is None
    assert len(server.peers) == 1


@pytest.mark.parametrize(("raw", "body"), BODIES.values(), ids=BODIES)
async def test_an_answer_may_come_byte_by_byte(raw: bytes, body: bytes) -> None:
    async def drip(peer: Peer) -> None:
        await peer.request()
        for at in range(len(raw)):
            await peer.send(raw[at : at + 1])
            await asyncio.sleep(0)
        await peer.until_client_leaves()

    async with raw_server(drip) as server, calling(server.url) as http:
        got = await http.get()
        assert (got.body, got.failure) == (body, None)


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with raw_server(cut_after(b"HTTP/1.1 200 OK\r\n\r\nhel" + b"lo")) as server, calling(server.url) as http:
        assert (await http.get()).body == b"hello"
        assert (await http.get()).body == b"hello"
    assert len(server.peers) == 2


async def test_such_a_body_is_not_whole_where_the_connection_was_reset() -> None:
    async def half(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhel")
        await asyncio.sleep(0.05)
        peer.reset()

    async with raw_server(half) as server, calling(server.url) as http:
        got = await http.get()
    assert (got.sent, got.status_code, got.failure) == (True, 200, "connection_reset")


async def test_the_request_is_written_as_given() -> None:
    body = b'{"a": 1e-400}'
    async with raw_server(in_full(OK)) as server, calling(server.url, headers={"x-api-key": "k"}) as http:
        await http.caller.call("POST", "/v2/a%2Fb?x=1&y=%20", body=body, headers={"x-b": "c"})
    head, _, sent = server.received.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v2/a%2Fb?x=1&y=%20 HTTP/1.1"
    assert {line.lower() for line in lines[1:]} == {
        f"host: 127.0.0.1:{server.port}".encode(), b"accept-encoding: gzip, deflate", b"content-length: 13", b"accept: */*",
        b"content-type: application/json", b"user-agent: waystation", b"x-api-key: k", b"x-b: c",
    }  # fmt: skip
    assert sent == body


@pytest.mark.parametrize("header", ["a\r\nx-evil: 1", "a\nb", "a\0b"])
async def test_a_header_cannot_break_out_of_its_line(header: str) -> None:
    async with raw_server(in_full(OK)) as server, calling(server.url) as http:
        with pytest.raises(ValueError, match="line break"):
            await http.get(headers={"x-a": header})
        with pytest.raises(ValueError, match="line break"):
            async with calling(server.url, headers={"x-a": header}):
                pass
    assert server.received == b""


async def test_only_a_server_can_be_called() -> None:
    for url in ("ftp://example.com", "example.com", "http://"):
        with pytest.raises(ValueError, match="not the URL of a server"):
            Caller(url, headers={}, connections_max=1, keep_alive=True, limits=Limits(1, 1, 1, 1))


async def test_no_redirect_is_followed_and_no_cookie_kept() -> None:
    hostile = answer(b"no", "302 Found", "location: http://[", "set-cookie: a=b; path=/")
    async with raw_server(in_full(hostile, OK)) as server, calling(server.url) as http:
        got = await http.get()
        assert (got.status_code, got.body) == (302, b"no")
        await http.get()
    assert b"cookie" not in server.received.lower()


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    async with raw_server(in_full(OK)) as server, calling(server.url) as http:
        assert (await http.get()).body == b"hello"


# What was provably not sent


async def test_refused_and_unresolvable_are_not_sent() -> None:
    for url, failure in (
        (f"http://127.0.0.1:{unused_port()}", "connect_refused"),
        ("http://nowhere.invalid", "dns_failed"),
        (f"http://{'a' * 70}.test", "dns_failed"),
    ):
        async with calling(url) as http:
            called = await http.post()
            assert (called.sent, called.failure) == (False, failure)


async def test_a_connect_that_hangs_is_not_sent() -> None:
    async with raw_server(hang_after()) as server:
        url = server.url.replace("http://", "https://")
        async with calling(url, connect_seconds=0.1) as http:  # it accepts, but never shakes hands
            called = await http.get()
    assert (called.sent, called.failure) == (False, "connect_timeout")


async def test_a_server_that_speaks_no_tls_is_not_sent() -> None:
    async def chat(peer: Peer) -> None:
        await peer.send(b"220 welcome\r\n")
        await peer.until_client_leaves()

    async with raw_server(chat) as server, calling(server.url.replace("http://", "https://")) as http:
        called = await http.get()
    assert (called.sent, called.failure) == (False, "tls_failed")


async def received(server: RawServer) -> bool:
    return server.received != b""


async def test_no_free_connection_in_time_is_not_sent() -> None:
    async with raw_server(hang_after()) as server, calling(server.url, connections_max=1, connect_seconds=0.3) as http:
        first = asyncio.create_task(http.get())

        async def sent() -> bool:
            nonlocal first
            if first.done():  # a busy machine has not connected in that time
                first = asyncio.create_task(http.get())
            return await received(server)

        await eventually(sent)
        called = await http.get()
        assert (called.sent, called.failure) == (False, "connect_timeout")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_before_send_runs_on_an_open_connection_with_nothing_written(keep_alive: bool) -> None:
    seen: list[tuple[int, bytes]] = []

    async with raw_server(in_full(OK)) as server, calling(server.url, keep_alive=keep_alive) as http:

        async def before_send() -> None:
            await asyncio.sleep(0.05)
            seen.append((len(server.peers), server.received))

        await http.post(before_send=before_send)
    assert seen == [(1, b"")]
    assert server.received.startswith(b"POST / ")


@pytest.mark.parametrize("kind", [RuntimeError, ConnectionResetError, TimeoutError])
async def test_what_before_send_raises_is_passed_on_and_nothing_is_sent(kind: type[Exception]) -> None:
    """Also where it looks like an error of the network: it may come from the database."""
    refusal = kind()

    async def before_send() -> None:
        raise refusal

    async with raw_server(hang_after()) as server, calling(server.url) as http:
        with pytest.raises(kind) as raised:
            await http.post(before_send=before_send)
        assert raised.value is refusal

        async def hung_up() -> bool:
            return server.peers[0].reader.at_eof() or server.peers[0].writer.is_closing()

        await eventually(hung_up)
    assert server.received == b""


async def test_a_connection_lost_before_the_first_byte_is_not_sent() -> None:
    async def leave(peer: Peer) -> None:
        peer.reset()

    async with raw_server(leave) as server, calling(server.url, keep_alive=False) as http:
        called = await http.post(before_send=server.until_gone)
    assert (called.sent, called.failure) == (False, "closed_before_send")
    assert server.received == b""


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_an_answer_before_the_request_is_no_answer(keep_alive: bool) -> None:
    async def eager(peer: Peer) -> None:
        await peer.send(OK)
        await peer.until_client_leaves()

    async with raw_server(eager) as server, calling(server.url, keep_alive=keep_alive) as http:
        called = await http.post(before_send=lambda: asyncio.sleep(0.1))
    assert (called.sent, called.failure) == (False, "closed_before_send")
    assert server.received == b""


async def test_a_deadline_that_passes_before_the_first_byte_is_not_sent() -> None:
    async with raw_server(in_full(OK)) as server, calling(server.url, total_seconds=1) as http:
        called = await http.post(before_send=lambda: asyncio.sleep(1.2))
        assert (called.sent, called.failure) == (False, "total_timeout")
        called = await http.post(limits=Limits(1, 1, 0.0, 1))
        assert (called.sent, called.failure) == (False, "total_timeout")
    assert server.received == b""


# What may have arrived

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BROKEN: dict[str, tuple[bytes, bool, str]] = {
    "close before any byte": (b"", False, "closed_without_answer"),
    "reset before any byte": (b"", True, "connection_reset"),
    "half a status line": (b"HTTP/1.1 20", False, "half_head"),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-le", False, "half_head"),
    "half a body": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhell", False, "half_body"),
    "half a chunk": (CHUNKED + b"9\r\nhell", False, "half_body"),
    "no last chunk": (CHUNKED + b"1\r\nh\r\n", False, "half_body"),
    "only an interim": (b"HTTP/1.1 100 Continue\r\n\r\n", False, "closed_without_answer"),
    "garbage": (b"<html>no HTTP at all", False, "bad_answer"),
    "chunk garbage": (CHUNKED + b"zz\r\n", False, "bad_answer"),
    "two lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", False, "bad_answer"),
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", False, "bad_answer",
    ),
    "unknown coding": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nab", False, "unknown_coding"),
    "chunks and something else": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n", False,
        "unknown_coding",
    ),
    "switched protocols": (
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", False, "bad_answer",
    ),
    "no gzip": (answer(b"no gzip", "200 OK", "content-encoding: gzip"), False, "bad_coding"),
    "a head without end": (b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 70_000, False, "bad_answer"),
    "interims without end": (b"HTTP/1.1 102 Wait\r\n\r\n" * 5_000, False, "too_many_interims"),
    "too many headers": (b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 20_000 + b"\r\n", False, "bad_answer"),
    "a length over the cap": (b"HTTP/1.1 200 OK\r\ncontent-length: 10001\r\n\r\n", False, "body_too_large"),
    "chunks over the cap": (
        CHUNKED + b"1000\r\n" + b"a" * 4096 + b"\r\n" + b"2000\r\n" + b"a" * 8192, False, "body_too_large",
    ),
    "a body without end": (b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 20_000, False, "body_too_large"),
    "gzip over the cap": (
        answer(gzip.compress(b"\0" * 20_000), "200 OK", "content-encoding: gzip"), False, "body_too_large",
    ),
    "deflate over the cap": (
        answer(zlib.compress(b"\0" * 20_000_000), "200 OK", "content-encoding: deflate"), False, "body_too_large",
    ),
}  # fmt: skip


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize(("raw", "reset", "failure"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_may_have_arrived(raw: bytes, reset: bool, failure: str, keep_alive: bool) -> None:
    async with raw_server(cut_after(raw, reset=reset)) as server, calling(server.url, keep_alive=keep_alive) as http:
        called = await http.post(b"payload")
        assert (called.sent, called.failure) == (True, failure)
        await asyncio.wait_for(server.until_gone(), 60)

        async def forgotten() -> bool:
            await http.get()  # an idle connection whose server has left is not used again
            return len(server.peers) > 1

        await eventually(forgotten)
    assert server.peers[0].received.endswith(b"payload")
    assert server.received.count(b"payload") == 1, "a POST was repeated"


async def test_what_is_no_http_within_a_body_ends_the_call() -> None:
    """aiohttp by itself would wait for the rest of the body until the deadline."""

    async def stray(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"1\r\nh\r\n")
        await asyncio.sleep(0.05)
        await peer.send(b"zz\r\n")
        await peer.until_client_leaves()

    async with raw_server(stray) as server, calling(server.url) as http:
        called = await http.post()
    assert (called.sent, called.status_code, called.failure) == (True, 200, "bad_answer")


async def test_no_call_is_ever_repeated() -> None:
    """aiohttp by itself would repeat a GET whose connection, used before, is lost without an answer."""

    async def once(peer: Peer) -> None:
        if await peer.request():
            await peer.send(OK)
        await peer.request()

    async with raw_server(once) as server, calling(server.url) as http:
        assert (await http.get("/1")).body == b"hello"
        called = await http.get("/2")
        assert (called.sent, called.failure) == (True, "closed_without_answer")
    assert (len(server.peers), server.received.count(b"GET /2")) == (1, 1)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"])
async def test_silence_is_a_read_timeout(begun: bytes) -> None:
    async with raw_server(hang_after(begun)) as server, calling(server.url, quiet_seconds=0.1) as http:
        called = await http.get()
        assert (called.sent, called.failure) == (True, "read_timeout")
        await asyncio.wait_for(server.peers[0].ended.wait(), 60)


async def test_a_slow_drip_ends_with_the_total() -> None:
    async def drip(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(1000):
            await peer.send(b"a")
            await asyncio.sleep(0.02)

    async with raw_server(drip) as server, calling(server.url, quiet_seconds=0.2, total_seconds=0.4) as http:
        for _ in range(10):
            watch = Stopwatch()
            called = await http.get()
            if called.failure != "read_timeout":  # a busy machine does not drip in time
                break
        assert (called.sent, called.status_code, called.failure) == (True, 200, "total_timeout")
        assert watch.seconds > 0.35
        assert watch.own_seconds < 1


async def test_a_server_that_takes_nothing_is_a_write_timeout() -> None:
    async def stuff_ears(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(5)

    async with raw_server(stuff_ears) as server, calling(server.url, quiet_seconds=0.3) as http:
        called = await http.post(b"a" * 30_000_000)
    assert (called.sent, called.failure) == (True, "write_timeout")


async def test_the_status_of_a_body_that_is_cut_is_still_known() -> None:
    raw = b"HTTP/1.1 422 Unprocessable\r\ncontent-length: 100\r\n\r\nhalf"
    async with raw_server(cut_after(raw)) as server, calling(server.url) as http:
        got = await http.get()
    assert (got.sent, got.status_code, got.body, got.failure) == (True, 422, b"half", "half_body")


async def test_an_early_answer_counts_while_the_body_is_still_being_sent() -> None:
    async def early(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(answer(b"{}", "413 Too Large"))
        await peer.until_client_leaves()

    async with raw_server(early) as server, calling(server.url) as http:
        got = await http.post(b"a" * 30_000_000)
        assert (got.status_code, got.body, got.failure) == (413, b"{}", None)
        assert (await http.post(b"x")).status_code == 413
    assert len(server.peers) == 2, "a connection with half a request on it was used again"


async def test_a_cancelled_call_closes_its_connection() -> None:
    async with raw_server(hang_after()) as server, calling(server.url) as http:
        task = asyncio.create_task(http.post())
        await eventually(lambda: received(server))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (http.busy, http.idle) == (0, 0)
        await asyncio.wait_for(server.peers[0].ended.wait(), 60)
