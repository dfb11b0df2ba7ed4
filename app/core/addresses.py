"""Find the network address that a request comes from."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

PORT_MAX = 65_535

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HOPS_MAX = 20
"""How many proxies in a row are examined."""
IPV6_PREFIX_BITS = 64
"""The smallest network that a customer usually gets."""


def source_of(peer: str | None, forwarded_for: Sequence[str], *, trusted: Sequence[Network]) -> str:
    """Return the source of a request, to count it: an IPv4 address, the /64 network of an IPv6 address, or `unknown`.

    `peer` is the other end of the connection, `forwarded_for` the values of X-Forwarded-For in order. Only entries from
    `trusted` proxies are believed. The source is the nearest address that is not a trusted proxy.
    """
    address = _parsed(peer or "")
    if address is None:
        return "unknown"
    for _, text in zip(range(HOPS_MAX), _from_the_right(forwarded_for), strict=False):
        if not any(address in network for network in trusted):
            break
        before = _parsed(text)
        if before is None:
            break
        address = before
    return _counted(address)


def _from_the_right(values: Sequence[str]) -> Iterable[str]:
    for value in reversed(values):
        while value:
            value, _, last = value.rpartition(",")
            yield last


def _parsed(text: str) -> Address | None:
    """Parse `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1` or `[2001:db8::1]:443`. Returns None for any other text."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _counted(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((address, IPV6_PREFIX_BITS), strict=False))
