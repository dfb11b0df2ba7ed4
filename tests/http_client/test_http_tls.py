"""Whom the client trusts: an authority it knows, for the host it asked for; else not a byte of the request leaves."""

from pathlib import Path

import pytest

from tests.doubles.authority import Authority
from tests.doubles.raw_server import answer, in_full, raw_server
from tests.http_client.callers import calling

OK = answer(b"hello")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder: Path = tmp_path_factory.mktemp("authority")
    return Authority.make(folder)


async def test_tls_with_a_known_authority(authority: Authority) -> None:
    async with (
        raw_server(in_full(OK, OK), tls=authority.serving("IP:127.0.0.1")) as server,
        calling(server.url.replace("http://", "https://"), ssl_context=authority.trusting()) as http,
    ):
        for _ in range(2):
            assert (await http.get()).body == b"hello"
    assert len(server.peers) == 1


@pytest.mark.parametrize(("name", "trusted"), [("DNS:elsewhere.test", True), ("IP:127.0.0.1", False)])
async def test_tls_for_another_host_or_by_a_stranger_is_not_sent(
    authority: Authority, name: str, trusted: bool
) -> None:
    async with (
        raw_server(in_full(OK), tls=authority.serving(name)) as server,
        calling(
            server.url.replace("http://", "https://"), ssl_context=authority.trusting() if trusted else None
        ) as http,
    ):
        called = await http.post(b"secret")
        assert (called.sent, called.failure) == (False, "tls_failed")
    assert b"secret" not in server.received
