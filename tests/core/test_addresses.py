"""Where a request comes from: the peer, or what a proxy of ours says of it."""

from ipaddress import ip_network

import pytest

from app.core.addresses import source_of

PROXIES = tuple(ip_network(text) for text in ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "source"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # a stranger may send what it likes
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),  # what came before was the client's own
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7, 10.2.3.4,10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", ["10.1.1.1, , 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", ["junk"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::/64"),
        ("10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("2001:db8:1:2::1", [], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", [], "2001:db8:1:2::/64"),
        (None, ["198.51.100.7"], "unknown"),
        ("", [], "unknown"),
    ],
)
def test_the_nearest_that_is_no_proxy_of_ours(peer: str | None, forwarded_for: list[str], source: str) -> None:
    assert source_of(peer, forwarded_for, trusted=PROXIES) == source


def test_nobody_is_believed_by_default() -> None:
    assert source_of("127.0.0.1", ["198.51.100.7"], trusted=()) == "127.0.0.1"


def test_a_long_list_is_looked_at_in_part() -> None:
    assert source_of("10.0.0.1", ["198.51.100.7," + "10.0.0.2," * 10_000 + "10.0.0.3"], trusted=PROXIES) == "10.0.0.2"
