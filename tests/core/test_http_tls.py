"""Whom the client trusts: an authority it knows, for the host it asked for; else not a byte of the request leaves."""

import ssl
from pathlib import Path

import pytest

from app.core.http import Client, ConnectFailed, open_client
from tests.doubles.authority import Authority
from tests.doubles.raw_server import answer, in_full, raw_server

OK = answer(b"hello")


def client(ssl_context: ssl.SSLContext | None) -> Client:
    return open_client(
        connections_max=2,
        keep_alive=True,
        connect_seconds=30,
        read_seconds=30,
        total_seconds=60,
        body_bytes_max=10_000,
        ssl_context=ssl_context,
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder: Path = tmp_path_factory.mktemp("authority")
    return Authority.make(folder)


async def test_tls_with_a_known_authority(authority: Authority) -> None:
    async with (
        raw_server(in_full(OK, OK), tls=authority.serving("IP:127.0.0.1")) as server,
        client(authority.trusting()) as http,
    ):
        for _ in range(2):
            assert (await http.get(server.url.replace("http://", "https://"))).content == b"hello"
    assert len(server.peers) == 1


@pytest.mark.parametrize(("name", "trusted"), [("DNS:elsewhere.test", True), ("IP:127.0.0.1", False)])
async def test_tls_for_another_host_or_by_a_stranger_is_not_sent(
    authority: Authority, name: str, trusted: bool
) -> None:
    async with (
        raw_server(in_full(OK), tls=authority.serving(name)) as server,
        client(authority.trusting() if trusted else None) as http,
    ):
        with pytest.raises(ConnectFailed, match="tls_failed"):
            await http.post(server.url.replace("http://", "https://"), content=b"secret")
    assert b"secret" not in server.received
