"""Calls through a proxy: with and without a password, and what is told where it refuses or dies."""

from pathlib import Path

import pytest

from app.upstream.client import UpstreamClient
from app.upstream.wire import OutcomeKind
from tests.doubles.authority import Authority
from tests.doubles.raw_server import answer, in_full, raw_server, unused_port
from tests.doubles.tunnel import tunnel
from tests.http_client.callers import calling

OK = answer(b"hello")
ACCEPTED = answer(b'{"request_id":"47411f","status":"QUEUED"}')


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder: Path = tmp_path_factory.mktemp("authority")
    return Authority.make(folder)


@pytest.mark.parametrize("user", ["", "me:pass%2Fword"])
async def test_https_goes_through_a_tunnel_that_is_used_again(authority: Authority, user: str) -> None:
    async with (
        raw_server(in_full(OK, OK), tls=authority.serving("IP:127.0.0.1")) as server,
        tunnel(password="me:pass/word" if user else None) as proxy,
        calling(
            server.url.replace("http:", "https:"), ssl_context=authority.trusting(), proxy=proxy.url(user),
            headers={"x-api-key": "k"},
        ) as http,
    ):  # fmt: skip
        for _ in range(2):
            assert (await http.get("/a")).body == b"hello"
    assert proxy.asked == [f"CONNECT 127.0.0.1:{server.port}"]
    assert proxy.server is not None
    assert proxy.server.received.startswith(b"CONNECT ")
    assert b"x-api-key" not in proxy.server.received.lower()
    assert b"x-api-key: k\r\n" in server.received
    assert server.received.startswith(b"GET /a HTTP/1.1\r\n")
    assert b"proxy-authorization" not in server.received.lower()


@pytest.mark.parametrize("user", ["", "me:pass"])
async def test_http_goes_through_it_with_the_whole_url(user: str) -> None:
    async with (
        raw_server(in_full(OK)) as server,
        tunnel(password=user or None) as proxy,
        calling(server.url, proxy=proxy.url(user)) as http,
    ):
        assert (await http.get("/a")).body == b"hello"
    assert proxy.asked == [f"GET {server.url}/a"]


@pytest.mark.parametrize("secure", [True, False])
async def test_a_proxy_that_wants_another_password_sends_nothing_on(authority: Authority, secure: bool) -> None:
    async with (
        raw_server(in_full(OK), tls=authority.serving("IP:127.0.0.1") if secure else None) as server,
        tunnel(password="me:pass") as proxy,
        calling(
            server.url.replace("http:", "https:") if secure else server.url,
            ssl_context=authority.trusting(), proxy=proxy.url("me:wrong"),
        ) as http,
    ):  # fmt: skip
        called = await http.post()
    assert (called.sent, called.status_code, called.failure) == (False, None, "proxy_failed")
    assert server.peers == []


@pytest.mark.parametrize("dies", ["asked", "open", "gone"])
async def test_a_submit_whose_proxy_dies_before_tls_was_not_sent(authority: Authority, dies: str) -> None:
    committed: list[str] = []

    async def before_send() -> None:
        committed.append("committed")

    async with (
        raw_server(in_full(ACCEPTED), tls=authority.serving("IP:127.0.0.1")) as server,
        tunnel(dies=dies) as proxy,
    ):
        client = UpstreamClient(
            url=server.url.replace("http:", "https:"), api_key="k", submit_connections_max=1, poll_connections_max=1,
            ssl_context=authority.trusting(), proxy=f"http://127.0.0.1:{unused_port()}" if dies == "gone" else proxy.url(),
        )  # fmt: skip
        outcome = await client.submit(model="m", body=b"{}", before_send=before_send)
        await client.close()
    assert outcome.kind is OutcomeKind.NOT_SENT
    assert (server.received, committed) == (b"", [])


async def test_a_submit_goes_through_and_is_stopped_with_nothing_sent_through(authority: Authority) -> None:
    class FencedOff(Exception):
        pass

    async def stop() -> None:
        raise FencedOff

    async def go() -> None:
        """Nothing to commit first."""

    async with raw_server(in_full(ACCEPTED), tls=authority.serving("IP:127.0.0.1")) as server, tunnel() as proxy:
        client = UpstreamClient(
            url=server.url.replace("http:", "https:"), api_key="k", submit_connections_max=1, poll_connections_max=1,
            ssl_context=authority.trusting(), proxy=proxy.url(),
        )  # fmt: skip
        with pytest.raises(FencedOff):
            await client.submit(model="m", body=b"{}", before_send=stop)
        assert server.received == b""
        assert (await client.submit(model="m", body=b"{}", before_send=go)).kind is OutcomeKind.ACCEPTED
        await client.close()
    assert server.received.count(b"POST /v2/m") == 1
