"""The client against an upstream that does what upstreams do: every shape of the table, on real sockets."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.upstream.client import UpstreamClient
from app.upstream.wire import OutcomeKind, UpstreamState
from tests.doubles.authority import Authority
from tests.doubles.raw_server import (
    Peer,
    RawServer,
    Script,
    answer,
    cut_after,
    hang_after,
    in_full,
    raw_server,
    unused_port,
)
from tests.gateway import eventually

K = OutcomeKind
KEY = "SG_3ec0a235721add59"
BODY = '{"seed": 12345678901234567890, "x":1e-400,"é":"\\u0000"}'.encode()
ACCEPTED = b'{"request_id":"47411f","status":"QUEUED","poll_url":"http://evil.test/","status_url":"http://evil.test/"}'
COMPLETED = b'{"status":"COMPLETED","output":"https://images.test/a.mp4","metrics":{"cost":0.05}}'
FAILED = b'{"status":"FAILED","error":"Prompt is required."}'


def upstream_client(url: str, *, result_bytes_max: int = 1_000_000, **seconds: float) -> UpstreamClient:
    given = dict.fromkeys(("connect_seconds", "submit_seconds", "poll_seconds", "fetch_seconds"), 60.0) | seconds
    return UpstreamClient(
        url=url,
        api_key=KEY,
        submit_connections_max=4,
        poll_connections_max=4,
        connect_seconds=given["connect_seconds"],
        submit_seconds=given["submit_seconds"],
        poll_seconds=given["poll_seconds"],
        fetch_seconds=given["fetch_seconds"],
        result_bytes_max=result_bytes_max,
    )


@contextlib.asynccontextmanager
async def upstream(
    script: Script, *, result_bytes_max: int = 1_000_000, **seconds: float
) -> AsyncIterator[tuple[RawServer, UpstreamClient]]:
    async with raw_server(script) as server:
        client = upstream_client(server.url, result_bytes_max=result_bytes_max, **seconds)
        try:
            yield server, client
        finally:
            await client.close()


async def nothing() -> None:
    """Nothing to commit first."""


async def test_a_submit_forwards_the_very_bytes() -> None:
    async with upstream(in_full(answer(ACCEPTED))) as (server, client):
        outcome = await client.submit(model="motionctrl-svd", body=BODY, before_send=nothing)
    assert (outcome.kind, outcome.upstream_id, outcome.state) == (K.ACCEPTED, "47411f", UpstreamState.QUEUED)
    head, _, body = server.received.partition(b"\r\n\r\n")
    assert body == BODY
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /v2/motionctrl-svd http/1.1"
    assert f"x-api-key: {KEY}".lower().encode() in lines
    assert b"content-type: application/json" in lines


@pytest.mark.parametrize("excess", [b"\0", b"\r\n\r\n<html>", b"HTTP/1.1 500 No\r\n\r\n"])
@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_whole_answer_counts_whatever_comes_after_it(excess: bytes, interim: bytes) -> None:
    """The job was accepted, and is paid for."""
    async with upstream(in_full(interim + answer(ACCEPTED) + excess)) as (_, client):
        outcome = await client.submit(model="m", body=BODY, before_send=nothing)
    assert (outcome.kind, outcome.upstream_id) == (K.ACCEPTED, "47411f")


async def test_submits_never_share_a_connection() -> None:
    async with upstream(in_full(answer(ACCEPTED), answer(ACCEPTED))) as (server, client):
        for _ in range(3):
            assert (await client.submit(model="m", body=BODY, before_send=nothing)).kind is K.ACCEPTED
    assert len(server.peers) == 3


async def test_before_send_comes_between_the_connection_and_the_first_byte() -> None:
    class FencedOff(Exception):
        pass

    async with upstream(in_full(answer(ACCEPTED))) as (server, client):

        async def connected() -> bool:
            return len(server.peers) == 1

        async def before_send() -> None:
            await eventually(connected)
            assert server.received == b""
            raise FencedOff

        with pytest.raises(FencedOff):
            await client.submit(model="m", body=BODY, before_send=before_send)
        await asyncio.sleep(0.02)
    assert server.received == b""


SHAPES: dict[str, tuple[Script, OutcomeKind]] = {
    "reset before send": (lambda peer: _reset(peer), K.NOT_SENT),
    "reset after send": (cut_after(b"", reset=True), K.UNKNOWN),
    "close before any byte": (cut_after(b""), K.UNKNOWN),
    "half head": (cut_after(b"HTTP/1.1 200 OK\r\ncontent-ty"), K.UNKNOWN),
    "half body": (cut_after(b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"request_'), K.UNKNOWN),
    "time-out": (hang_after(), K.UNKNOWN),
    "hang in the body": (hang_after(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"), K.UNKNOWN),
    "garbage": (cut_after(b"\0\1\2garbage\r\n\r\n"), K.UNKNOWN),
    "200 without id": (in_full(answer(b'{"status":"QUEUED"}')), K.UNKNOWN),
    "200 HTML": (in_full(answer(b"<html>")), K.UNKNOWN),
    "200 too large": (in_full(answer(b'{"request_id":"a","x":"' + b"x" * 2_000_000 + b'"}')), K.UNKNOWN),
    "204": (in_full(b"HTTP/1.1 204 No\r\n\r\n"), K.UNKNOWN),
    "302": (in_full(answer(b"", "302 Found", "location: http://[")), K.UNKNOWN),
    "400": (in_full(answer(b'{"error":"bad"}', "400 Bad")), K.REJECTED),
    "401": (in_full(answer(b"{}", "401 No")), K.ACCOUNT),
    "405 HTML": (in_full(answer(b"<html>", "405 No")), K.REJECTED),
    "406 cut": (cut_after(b"HTTP/1.1 406 No\r\ncontent-length: 99\r\n\r\n{"), K.ACCOUNT),
    "409": (in_full(answer(b"{}", "409 No")), K.REJECTED),
    "413, early": (cut_after(answer(b"{}", "413 No")), K.REJECTED),
    "422 cut": (cut_after(b'HTTP/1.1 422 No\r\ncontent-length: 99\r\n\r\n{"err'), K.REJECTED),
    "425": (in_full(answer(b"{}", "425 Early")), K.THROTTLED),
    "429": (in_full(answer(b"{}", "429 Slow", "retry-after: 7")), K.THROTTLED),
    "500": (in_full(answer(b'{"error":"x"}', "500 No")), K.UNKNOWN),
    "502": (in_full(answer(b"<html>", "502 No")), K.UNKNOWN),
    "503": (in_full(answer(b"", "503 No", "retry-after: 7")), K.UNKNOWN),
    "504": (in_full(answer(b"", "504 No")), K.UNKNOWN),
    "accepted": (in_full(answer(ACCEPTED)), K.ACCEPTED),
    "accepted, dripping": (lambda peer: _drip(peer, answer(ACCEPTED)), K.ACCEPTED),
}


async def _reset(peer: Peer) -> None:
    peer.reset()


async def _drip(peer: Peer, data: bytes) -> None:
    await peer.request()
    for at in range(0, len(data), 7):
        await peer.send(data[at : at + 7])
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("script", "kind"), SHAPES.values(), ids=SHAPES)
async def test_every_shape_of_a_submit(script: Script, kind: OutcomeKind) -> None:
    hangs = script in (SHAPES["time-out"][0], SHAPES["hang in the body"][0])
    async with upstream(script, submit_seconds=0.3 if hangs else 60.0) as (server, client):
        resets = script is SHAPES["reset before send"][0]
        outcome = await client.submit(model="m", body=BODY, before_send=server.until_gone if resets else nothing)
    assert outcome.kind is kind, outcome
    assert (server.received != b"") == (kind is not K.NOT_SENT), "the upstream's book disagrees"
    assert outcome.retry_after_seconds in (None, 7)


async def test_what_never_reaches_the_upstream_is_not_sent() -> None:
    client = upstream_client(f"http://127.0.0.1:{unused_port()}")
    assert (await client.submit(model="m", body=BODY, before_send=nothing)).detail == "connect_refused"
    assert (await client.poll("a")).kind is K.TROUBLE
    await client.close()
    client = upstream_client("http://nowhere.invalid")
    outcome = await client.submit(model="m", body=BODY, before_send=nothing)
    assert (outcome.kind, outcome.detail) == (K.NOT_SENT, "dns_failed")
    await client.close()
    async with raw_server(hang_after()) as server:
        client = upstream_client(server.url.replace("http:", "https:"), connect_seconds=0.1)
        outcome = await client.submit(model="m", body=BODY, before_send=nothing)
        assert (outcome.kind, outcome.detail) == (K.NOT_SENT, "connect_timeout")
        await client.close()
    assert BODY not in server.received


async def test_an_upstream_with_another_s_certificate_gets_neither_key_nor_body(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    async with raw_server(in_full(answer(ACCEPTED)), tls=authority.serving("DNS:elsewhere.test")) as server:
        client = UpstreamClient(
            url=server.url.replace("http:", "https:"),
            api_key=KEY,
            submit_connections_max=1,
            poll_connections_max=1,
            ssl_context=authority.trusting(),
        )
        outcome = await client.submit(model="m", body=BODY, before_send=nothing)
        await client.close()
    assert (outcome.kind, outcome.detail) == (K.NOT_SENT, "tls_failed")
    assert server.received == b""


async def test_a_model_that_is_no_slug_goes_nowhere() -> None:
    async with upstream(in_full(answer(ACCEPTED))) as (server, client):
        for model in ("../requests", "a/b", "m?x=1", "", "..", "a\r\nb"):
            outcome = await client.submit(model=model, body=BODY, before_send=nothing)
            assert (outcome.kind, outcome.detail) == (K.REJECTED, "invalid_slug")
    assert server.peers == []


async def test_a_cancelled_submit_leaves_no_connection_behind() -> None:
    async with upstream(hang_after()) as (server, client):

        async def received() -> bool:
            return server.received != b""

        task = asyncio.create_task(client.submit(model="m", body=BODY, before_send=nothing))
        await eventually(received)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.peers[0].ended.wait(), 60)


READS: dict[str, tuple[bytes, OutcomeKind]] = {
    "queued": (answer(b'{"status":"QUEUED"}'), K.RUNNING),
    "completed": (answer(COMPLETED), K.SUCCEEDED),
    "failed": (answer(FAILED, "422 Failed"), K.FAILED),
    "gone": (answer(b'{"error":"Request x not found"}', "404 No"), K.GONE),
    "throttled": (answer(b"", "429 Slow"), K.THROTTLED),
    "account": (answer(b"", "401 No"), K.ACCOUNT),
    "HTML": (answer(b"<html>", "503 No"), K.TROUBLE),
    "cut": (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n" + COMPLETED[:50], K.TROUBLE),
    "nothing": (b"", K.TROUBLE),
    "NaN": (answer(b'{"status":NaN}'), K.UNREADABLE),
    "depth": (answer(b'{"status":"COMPLETED","output":' + b"[" * 20_000 + b"]" * 20_000 + b"}"), K.UNREADABLE),
    "huge numbers": (answer(b'{"status":"COMPLETED","output":[' + b"9" * 5_000 + b",1e131071]}"), K.SUCCEEDED),
}


@pytest.mark.parametrize(("raw", "kind"), READS.values(), ids=READS)
async def test_every_shape_of_a_poll_and_a_fetch(raw: bytes, kind: OutcomeKind) -> None:
    async with upstream(cut_after(raw)) as (_, client):
        poll, fetch = await client.poll("47411f"), await client.fetch("47411f")
    assert (poll.kind, fetch.kind) == (kind, kind)
    body = raw.partition(b"\r\n\r\n")[2]
    assert fetch.body == (body if kind in (K.SUCCEEDED, K.FAILED) else None)
    assert poll.body == (body if kind is K.FAILED else None)


async def test_where_polls_and_fetches_go() -> None:
    async with upstream(in_full(*[answer(b'{"status":"QUEUED"}')] * 2)) as (server, client):
        await client.poll("a/../b?c#d %2e")
        await client.fetch("é")
    first, second = [line for line in server.received.split(b"\r\n") if line.startswith(b"GET")]
    assert first == b"GET /v2/requests/a%2F..%2Fb%3Fc%23d%20%252e/status HTTP/1.1"
    assert second == b"GET /v2/requests/%C3%A9 HTTP/1.1"
    assert len(server.peers) == 1


async def test_a_prefix_of_the_base_url_is_kept() -> None:
    async with raw_server(in_full(answer(COMPLETED))) as server:
        client = upstream_client(f"{server.url}/segmind/")
        assert (await client.poll("a")).kind is K.SUCCEEDED
        await client.close()
    assert server.received.startswith(b"GET /segmind/v2/requests/a/status ")


async def test_a_result_over_the_cap_is_unreadable_and_one_below_it_comes_whole() -> None:
    body = b'{"status":"COMPLETED","output":"' + b"x" * 900_000 + b'"}'
    async with upstream(in_full(answer(body))) as (_, client):
        assert (await client.fetch("a")).body == body
    async with upstream(in_full(answer(body)), result_bytes_max=500_000) as (_, client):
        outcome = await client.fetch("a")
    assert (outcome.kind, outcome.detail, outcome.answered) == (K.UNREADABLE, "body_too_large", True)


async def test_a_large_result_is_looked_through_beside_the_loop() -> None:
    """Two million numbers: whatever else the process does goes on meanwhile."""
    body = b'{"status":"COMPLETED","output":[' + b"1," * 2_000_000 + b'2],"metrics":{"cost":0.25}}'
    beats: list[float] = []

    async def beat() -> None:
        while True:
            beats.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.001)

    async with upstream(in_full(answer(body)), result_bytes_max=10_000_000) as (_, client):
        beating = asyncio.create_task(beat())
        began_at = asyncio.get_running_loop().time()
        outcome = await client.fetch("a")
        took = asyncio.get_running_loop().time() - began_at
        beating.cancel()
    assert outcome.kind is K.SUCCEEDED
    assert outcome.body == body
    assert outcome.metrics is not None
    assert outcome.metrics.cost_micro == 250_000
    longest = max(after - before for before, after in itertools.pairwise(beats))
    assert longest < took / 2, f"the loop stood still for {longest:.3f} s of {took:.3f} s"


async def test_an_upstream_that_closes_idle_connections_makes_no_submit_unknown() -> None:
    async def fickle(peer: Peer) -> None:
        while request := await peer.request():
            await peer.send(answer(ACCEPTED if request.startswith(b"POST") else b'{"status":"QUEUED"}'))
            if random.random() < 0.5:
                return

    kinds: list[OutcomeKind] = []
    async with upstream(fickle) as (_, client):
        for _ in range(100):
            await client.poll("a")
            kinds.append((await client.submit(model="m", body=BODY, before_send=nothing)).kind)
    assert kinds == [K.ACCEPTED] * 100


async def test_no_bytes_of_an_upstream_raise() -> None:
    dice = random.Random(20261122)
    whole = [
        answer(ACCEPTED),
        answer(COMPLETED),
        answer(FAILED, "422 Failed"),
        answer(b"", "429 Slow", "retry-after: \xff"),
    ]

    seen = 0

    async def mangle(peer: Peer) -> None:
        nonlocal seen
        seen += bool(await peer.request())  # nothing comes from a client that gives up as it connects
        raw = bytearray(dice.choice(whole))
        for _ in range(dice.randrange(4)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        await peer.send(bytes(raw[: dice.randrange(len(raw) + 1)] if dice.random() < 0.3 else raw))

    async with upstream(mangle, submit_seconds=0.5, poll_seconds=0.5, fetch_seconds=0.5) as (server, client):
        submits = [await client.submit(model="m", body=BODY, before_send=nothing) for _ in range(150)]
        sent = sum(outcome.kind is not K.NOT_SENT for outcome in submits)
        assert seen <= sent, "what is said not to have been sent was not"
        reads = [await read("a") for read in (client.poll, client.fetch) for _ in range(75)]
    assert len(server.peers) == 300
    assert sent > 100, "a slow machine may take half a second to connect, now and then"
    assert {outcome.kind for outcome in reads} > {K.TROUBLE, K.SUCCEEDED, K.FAILED}
