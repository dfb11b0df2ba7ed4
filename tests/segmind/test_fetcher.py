"""Files at URLs that somebody else named: bounded in size and time, and nothing of ours goes there."""

import asyncio
import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.core.config.settings import split_networks
from app.http_client.caller import Limits
from app.http_client.guard import OUTPUT_NETWORKS, Guard, parse_url
from app.segmind.fetcher import Fetcher, NotFetched
from tests.doubles.authority import Authority
from tests.doubles.raw_server import answer, hang_after, in_full, raw_server

LOOPBACK = split_networks("127.0.0.0/8")
PNG = answer(b"\x89PNG", "200 OK", "content-type: image/png")


def fetcher(guard: Guard, *, total_seconds: float = 60, trusted_url: str | None = None, at_once: int = 4) -> Fetcher:
    limits = Limits(connect_seconds=30, quiet_seconds=30, total_seconds=total_seconds, body_bytes_max=10_000)
    return Fetcher(guard, limits=limits, at_once=at_once, trusted_url=trusted_url)


def naming(*addresses: str) -> Guard:
    """A guard that opens the loopback, for which every name has these addresses."""

    async def lookup(_name: str, _port: int) -> Sequence[str]:
        return addresses

    return Guard(LOOPBACK, lookup=lookup)


async def reason(fetch: Fetcher, url: str) -> str:
    with pytest.raises(NotFetched) as caught:
        await fetch.get(url)
    return caught.value.reason


async def test_a_file_comes_whole_and_nothing_of_ours_goes_there() -> None:
    async with raw_server(in_full(PNG)) as server:
        fetched = await fetcher(naming("127.0.0.1")).get(f"http://cdn.test:{server.port}/a/b.png?sig=1%2F2")
    assert (fetched.content, fetched.media_type) == (b"\x89PNG", "image/png")
    head = server.received.decode()
    assert head.startswith("GET /a/b.png?sig=1%2F2 HTTP/1.1\r\n")
    head = head.lower()
    assert f"host: cdn.test:{server.port}\r\n" in head
    names = {line.partition(":")[0].lower() for line in head.splitlines()[1:] if line}
    assert names == {"host", "accept", "accept-encoding", "user-agent", "connection"}, "no key, no cookie"


async def test_the_trusted_host_is_its_scheme_host_and_port() -> None:
    async with raw_server(in_full(PNG)) as server, raw_server(in_full(PNG)) as other:
        fetch = fetcher(Guard(), trusted_url=server.url + "/v2")
        assert (await fetch.get(f"{server.url}/files/x.png")).content == b"\x89PNG"
        assert (await reason(fetch, f"{other.url}/files/x.png")).startswith("forbidden: address 127.0.0.1")
        assert (await reason(fetch, f"http://127.0.0.2:{server.port}/files/x.png")).startswith(
            "forbidden: address 127.0.0.2"
        )
        assert other.peers == []


@pytest.mark.parametrize(
    "url", ["https://evil.co.uk/x", "https://images.gateway.co.uk/x", "https://gateway.co.uk:8443/x"]
)
async def test_a_host_is_not_trusted_for_a_part_of_its_name(url: str) -> None:
    async def inside(_name: str, _port: int) -> Sequence[str]:
        return ["10.0.0.1"]

    guard = Guard(lookup=inside, setting=OUTPUT_NETWORKS)
    why = await reason(fetcher(guard, trusted_url="https://gateway.co.uk"), url)
    assert why == "forbidden: address 10.0.0.1 is not allowed: it is not in WAYSTATION_OUTPUT_ALLOW_NETWORKS"


async def test_of_a_name_every_address_must_be_allowed_when_it_is_dialled() -> None:
    async with raw_server(in_full(PNG, PNG)) as server:
        url = f"http://cdn.test:{server.port}/x.png"
        answers = [["127.0.0.1"], ["127.0.0.1", "169.254.169.254"], ["::ffff:10.0.0.1"], ["10.0.0.1"]]

        async def rebinding(_name: str, _port: int) -> Sequence[str]:
            return answers.pop(0)

        fetch = fetcher(Guard(LOOPBACK, lookup=rebinding))
        assert (await fetch.get(url)).content == b"\x89PNG"
        assert [(await reason(fetch, url)).partition(":")[0] for _ in range(3)] == ["forbidden"] * 3
        assert len(server.peers) == 1


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"])
async def test_a_redirect_leads_nowhere(status: str) -> None:
    async with raw_server(in_full(PNG)) as inside:
        moved = answer(b"", status, f"location: {inside.url}/x.png")
        async with raw_server(in_full(moved)) as server:
            assert await reason(fetcher(naming("127.0.0.1")), f"{server.url}/x.png") == f"status_{status[:3]}"
        assert inside.peers == []


@pytest.mark.parametrize(
    "url", ["http://user:secret@cdn.test/x", "http://cdn.test@127.0.0.1/x", "https://a.test/ x", "x"]
)
async def test_what_two_readers_read_differently_is_not_fetched(url: str) -> None:
    assert (await reason(fetcher(naming("127.0.0.1")), url)).startswith("url_refused")


async def test_in_the_clear_only_what_is_ours() -> None:
    async def public(_name: str, _port: int) -> Sequence[str]:
        return ["93.184.216.34"]

    fetch = fetcher(Guard(lookup=public), total_seconds=2)
    assert "is not allowed without TLS: it is not in " in await reason(fetch, "http://cdn.test/x.png")


async def test_public_hosts_are_dialled_over_tls(authority: Authority) -> None:
    async with raw_server(in_full(PNG), tls=authority.serving("DNS:images.other.test")) as server:
        limits = Limits(connect_seconds=30, quiet_seconds=30, total_seconds=60, body_bytes_max=10_000)
        fetch = Fetcher(naming("127.0.0.1"), limits=limits, at_once=1, ssl_context=authority.trusting())
        assert (await fetch.get(f"https://images.other.test:{server.port}/x.png")).content == b"\x89PNG"
        assert await reason(fetch, f"https://elsewhere.test:{server.port}/x.png") == "tls_failed"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder: Path = tmp_path_factory.mktemp("authority")
    return Authority.make(folder)


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
BAD = {
    "too large as declared": (answer(b"x" * 10_001), "body_too_large"),
    "too large in the end": (CHUNKED + (b"1000\r\n" + b"x" * 0x1000 + b"\r\n") * 2, "body_too_large"),
    "half": (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "total_timeout"),
    "silent": (b"", "total_timeout"),
    "no gzip": (answer(b"x", "200 OK", "content-encoding: gzip"), "bad_coding"),
    "a bomb": (answer(gzip.compress(b"x" * 10_001), "200 OK", "content-encoding: gzip"), "body_too_large"),
    "absent": (answer(b"{}", "404 Not Found"), "status_404"),
    "no http": (b"SSH-2.0-OpenSSH\r\n\r\n", "bad_answer"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_comes_to_nothing_is_over_in_time(name: str) -> None:
    data, expected = BAD[name]
    async with raw_server(hang_after(data)) as server:
        assert await reason(fetcher(naming("127.0.0.1"), total_seconds=1), f"{server.url}/x") == expected


async def test_whoever_waits_for_a_turn_waits_within_the_limit() -> None:
    async with raw_server(hang_after()) as server:
        fetch = fetcher(naming("127.0.0.1"), total_seconds=1, at_once=2)
        reasons = await asyncio.gather(*(reason(fetch, f"{server.url}/{number}") for number in range(40)))
        assert reasons == ["total_timeout"] * 40
        # some may get a turn at the very end, but not all have had one
        assert len(server.peers) < 20


@pytest.mark.parametrize(
    "host", ["a_b.test", "xn--a.test", "xn--zzzzzz99999a.test", "a" * 63 + ".test", "EXAMPLE.test"]
)
@pytest.mark.parametrize("target", ["/a/../b?", "/%2e%2e/x?x=%zz", "//b//c", "?x=1?y[]='&&;", "/x"])
async def test_whatever_the_guard_can_read_is_asked_for_as_it_is_written(host: str, target: str) -> None:
    async with raw_server(in_full(PNG)) as server:
        url = f"http://{host}:{server.port}{target}"
        assert (await fetcher(naming("127.0.0.1")).get(url)).content == b"\x89PNG"
        line, host_line, *_ = server.received.decode().split("\r\n")
    assert line == f"GET {parse_url(url).target} HTTP/1.1"
    assert host_line.lower() == f"host: {host.lower()}:{server.port}"
