"""No connection is even tried to what may not be called. Two witnesses outside the product's code say so: strace, which
sees every `connect` of the process, and the interpreter's audit hook, for machines without strace."""

import asyncio
import json
import re
import shutil
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from app.core.config.settings import split_networks
from app.http_client.guard import Guard, UrlRefused, is_public, parse_url
from tests.doubles.name_server import name_server
from tests.doubles.receiver import receiving, says
from tests.factories.callers import Caller
from tests.factories.hooks import Hooks

ROOT = Path(__file__).parent.parent.parent

SPECIAL_V4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32", "169.254.169.254/32", "100.100.100.200/32",
)  # fmt: skip
SPECIAL_V6 = (
    "::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "2001::/32", "2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16",
    "fc00::/7", "fd00:ec2::254/128", "fe80::/10", "fec0::/10", "ff00::/8",
)  # fmt: skip
FORMS = (
    # one address in the spellings that some reader takes for it
    "https://2130706433/", "https://017700000001/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0177.0.0.1/",
    "https://127.1/", "https://127.0.1/", "https://0/", "https://127.0.0.1./", "https://localhost./", "https://0x7f.1/",
    "https://2852039166/", "https://0xa9fea9fe/", "https://169.254.43518/", "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/", "https://[::127.0.0.1]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::]/", "https://[2001:0:7f00:1::]/", "https://[::1%25lo]/", "https://[fe80::1%25eth0]/",
    "https://①②⑦.⓪.⓪.①/", "https://127。0。0。1/", "https://１２７.0.0.1/",
    # who goes before whom
    "https://example.com@127.0.0.1/", "https://127.0.0.1@example.com/", "https://user:secret@127.0.0.1/",
    "https://example.com:443@127.0.0.1/", "https://127.0.0.1\\@example.com/", "https://example.com\\.127.0.0.1/",
    "https://127.0.0.1#@example.com/", "https://127.0.0.1?@example.com/", "https://127.0.0.1%2f@example.com/",
    "https:///127.0.0.1/", "https:127.0.0.1/", "//127.0.0.1/", "https://127.0.0.1%00.example.com/",
    # other doors
    "file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "unix:///tmp/postgres", "ftp://127.0.0.1/",
    "http+unix://%2Ftmp%2Fsocket/", "dict://127.0.0.1:11211/", "https://127.0.0.1:0/", "https://127.0.0.1:65536/",
    "http://127.0.0.1:5432/", "http://[::1]:6379/", "http://localhost:5432/", "http://metadata.google.internal/",
    # a public address, but not in the clear
    "http://93.184.216.34/", "http://[2606:4700:4700::1111]/",
)  # fmt: skip
NAMES: dict[str, list[list[str]]] = {
    "localhost": [["127.0.0.1", "::1"]],
    "metadata.google.internal": [["169.254.169.254"]],
    "loopback.test": [["127.0.0.1"]],
    "private.test": [["10.1.2.3"]],
    "metadata.test": [["169.254.169.254"]],
    "six.test": [["fd00::1"]],
    "mapped.test": [["::ffff:10.0.0.1"]],
    "nat64.test": [["64:ff9b::a00:1"]],
    "mixed.test": [["93.184.216.34", "10.0.0.1"]],
    "mixed-six.test": [["93.184.216.34", "fc00::1"]],
    "last-of-many.test": [[*(f"93.184.216.{last}" for last in range(1, 30)), "192.168.1.1"]],
    "nothing.test": [[]],
    # good when somebody looks, bad when somebody dials
    "rebinds.test": [["93.184.216.34"], ["127.0.0.1"]],
    "rebinds-six.test": [["2606:4700:4700::1111"], ["::1"]],
    "rebinds-mixed.test": [["93.184.216.34"], ["93.184.216.34", "169.254.169.254"]],
}
VALIDATED = ["rebinds.test", "rebinds-six.test", "rebinds-mixed.test"]


def targets() -> list[str]:
    """Every form, every name, and the first, a middle and the last address of every special network."""
    urls = [*FORMS, *(f"https://{name}/" for name in NAMES)]
    for text in (*SPECIAL_V4, *SPECIAL_V6):
        network = ip_network(text)
        places = {0, network.num_addresses // 2, network.num_addresses - 1}
        for address in (network[place] for place in sorted(places)):
            urls.append(f"https://{address}/" if address.version == 4 else f"https://[{address}]/")
    return urls


async def dial(
    urls: list[str], *, how: str = "deliver", allowed: str = "", strace: Path | None = None
) -> dict[str, Any]:
    """What became of these in a process of their own, watched by strace where a file for its report is given."""
    watched = ["strace", "-f", "-qq", "-e", "trace=connect", "-o", str(strace)] if strace is not None else []
    async with name_server(NAMES) as port:
        process = await asyncio.create_subprocess_exec(
            *watched, sys.executable, "-m", "tests.webhooks.dial", cwd=ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        question = {"how": how, "urls": urls, "name_server": port, "allowed": allowed, "validated": VALIDATED}
        told, complaints = await process.communicate(json.dumps(question).encode())
    assert process.returncode == 0, complaints.decode()[-2000:]
    answer: dict[str, Any] = json.loads(told)
    return answer


def seen_by_strace(report: Path) -> list[str]:
    """Every connect to an address of the internet protocols, done or tried."""
    return re.findall(r"connect\(.*sa_family=AF_INET6?.*", report.read_text())


@pytest.fixture
def strace_report(tmp_path: Path) -> Path:
    if shutil.which("strace") is None:
        pytest.skip("there is no strace on this machine")
    return tmp_path / "strace"


HOW = pytest.mark.parametrize("how", ["deliver", "fetch"])


@HOW
async def test_no_connection_is_tried_as_strace_sees_it(strace_report: Path, how: str) -> None:
    urls = targets()
    assert len(set(urls)) >= 120
    told = await dial(urls, how=how, strace=strace_report)
    assert seen_by_strace(strace_report) == []
    assert told["connected"] == []
    assert {url for url, outcome in told["outcomes"].items() if outcome != "forbidden"} == {"https://nothing.test/"}


async def test_strace_sees_the_connections_that_there_are(strace_report: Path) -> None:
    async with receiving() as receiver:
        told = await dial([receiver.url], allowed="127.0.0.0/8", strace=strace_report)
        assert told["outcomes"] == {receiver.url: "delivered"}
        assert len(seen_by_strace(strace_report)) == len(told["connected"]) == 1


@HOW
async def test_no_connection_is_tried_as_the_interpreter_sees_it(how: str) -> None:
    told = await dial(targets(), how=how)
    assert told["connected"] == []
    assert {url for url, outcome in told["outcomes"].items() if outcome != "forbidden"} == {"https://nothing.test/"}


@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
)
async def test_redirects_are_failures_and_nobody_goes_there(hooks: Hooks, caller: Caller, status: str) -> None:
    async with receiving() as inside, receiving(says(status, f"location: {inside.url}")) as receiver:
        await hooks.endpoint(caller, receiver.url)
        await hooks.emit(caller)
        await hooks.once()
        assert len(receiver.received) == 1
        assert inside.server.peers == []
    assert await hooks.counts() == {"pending": 1}


def test_all_special_addresses_are_forbidden_and_public_ones_are_not() -> None:
    for text in (*SPECIAL_V4, *SPECIAL_V6):
        network = ip_network(text)
        assert not is_public(network[0]), text
        assert not is_public(network[-1]), text
    for text in ("8.8.8.8", "93.184.216.34", "192.0.1.1", "172.15.0.1", "172.32.0.1", "2606:4700::1", "2a00::1"):
        assert is_public(ip_address(text)), text


def test_networks_of_ours_are_open_and_no_others() -> None:
    guard = Guard(split_networks("10.1.0.0/16, fd00::/8"))
    for text in ("10.1.2.3", "fd12::1"):
        assert guard.permits(text, secure=False)
    for text in ("10.2.0.1", "127.0.0.1", "::1", "::ffff:10.1.2.3", "8.8.8.8", "not an address"):
        assert not guard.permits(text, secure=False)
    assert guard.permits("8.8.8.8", secure=True)
    assert Guard(split_networks("127.0.0.0/8")).permits("::1", secure=False)


async def test_an_inherited_proxy_is_nobody_we_know(
    hooks: Hooks, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.server.url)
        await hooks.endpoint(caller, receiver.url)
        await hooks.emit(caller)
        await hooks.once()
        assert (len(receiver.received), len(proxy.server.peers)) == (1, 0)


@pytest.mark.parametrize("url", ["https://example.com", "https://EXAMPLE.com:8443/a?b=%20c", "https://[2606:4700::1]/"])
def test_ordinary_urls_are_taken(url: str) -> None:
    Guard().check(parse_url(url))
    assert parse_url(url).target.startswith("/")


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://a" + "b" * 3000, "https://exa mple.com/", "https://-a.com/"]
)
def test_odd_urls_are_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        Guard().check(parse_url(url))
