"""Decide which addresses may be dialled for a URL that a tenant or the upstream gave. A name is checked when it is dialled,
by all addresses to which it then resolves.

For IPv6 the list has what is allowed: the only public block, without its special parts. For IPv4 it has what is forbidden:
the union of what careful senders refuse. WEBHOOK_ALLOW_NETWORKS opens private networks to webhooks, OUTPUT_ALLOW_NETWORKS to
fetches of outputs.
"""

import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

from app.core.addresses import Address, Network
from app.http_client.resolver import Resolver

WEBHOOK_NETWORKS = "WAYSTATION_WEBHOOK_ALLOW_NETWORKS"
OUTPUT_NETWORKS = "WAYSTATION_OUTPUT_ALLOW_NETWORKS"
URL_LENGTH_MAX = 2048
ANSWERS_MAX = 64

_V4_FORBIDDEN = tuple(
    IPv4Network(one)
    for one in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_V6_ALLOWED = IPv6Network("2000::/3")
_V6_FORBIDDEN = tuple(
    IPv6Network(one) for one in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)

_NAME = re.compile(r"(?=.{1,253}\Z)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_URL = re.compile(r"[\x21\x23-\x5b\x5d\x5f\x61-\x7a\x7e]+")
"""Printable ASCII without space, quote, backslash, caret, backtick, braces and bar."""


class UrlRefused(ValueError):
    """The gateway does not call such a URL. The message says what is expected."""


class AddressForbidden(OSError):
    """A name or address may not be dialled. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in the only accepted spelling. host: as it is resolved, and checked by TLS. target: path and query."""

    secure: bool
    host: str
    port: int
    netloc: str
    target: str

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self.secure else 'http'}://{self.netloc}"


def parse_url(text: str, *, length_max: int = URL_LENGTH_MAX) -> Url:
    """Parse a URL. Raises UrlRefused if two parsers could read it differently."""
    if len(text) > length_max:
        raise UrlRefused(f"expected at most {length_max} characters")
    if not _URL.fullmatch(text):
        raise UrlRefused("expected printable ASCII without spaces; escape anything else")
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise UrlRefused("expected a URL that begins with https://")
    if "#" in rest:
        raise UrlRefused("expected no fragment")
    netloc = re.split(r"[/?]", rest, maxsplit=1)[0]
    if "@" in netloc:
        raise UrlRefused("expected no user name or password")
    secure = scheme.lower() == "https"
    host, port = _host_and_port(netloc, secure=secure)
    parts = urlsplit(text)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Url(secure, host, port, netloc.lower(), target)


def _host_and_port(netloc: str, *, secure: bool) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:%]+)(?::([0-9]{1,5}))?", netloc)
    if found is None:
        raise UrlRefused("expected a host, and perhaps a port")
    host, digits = found.groups()
    port = int(digits) if digits else (443 if secure else 80)
    if not 1 <= port <= 65535:
        raise UrlRefused("expected a port from 1 to 65535")
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1])), port
        except ValueError:
            raise UrlRefused("expected an IPv6 address between the brackets") from None
    if not _NAME.fullmatch(host):
        raise UrlRefused("expected a host name of letters, digits and hyphens, without a dot at its end")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        # some parsers read 0177.1 or 2130706433 as an address: only the spelling that all read alike is accepted
        try:
            return str(IPv4Address(host)), port
        except ValueError:
            raise UrlRefused("expected an IPv4 address as four decimal numbers") from None
    return host.lower(), port


_parsed = lru_cache(maxsize=1024)(ip_address)  # an address is checked several times for one call


def is_public(address: Address) -> bool:
    """Return whether the address belongs only to the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _V4_FORBIDDEN)
    return (
        address.scope_id is None and address in _V6_ALLOWED and not any(address in network for network in _V6_FORBIDDEN)
    )


Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves a name and a port to all addresses."""


class Guard:
    """Decides on addresses when they are dialled, for each new connection."""

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        lookup: Lookup | None = None,
        setting: str = WEBHOOK_NETWORKS,
    ) -> None:
        """`setting`: the setting with the `allowed` networks, which errors name."""
        self._setting = setting
        self._allowed = tuple(allowed)
        self._lookup = lookup or Resolver().lookup

    def is_ours(self, address: Address) -> bool:
        """Return whether an allowed network has it. ::1 counts as 127.0.0.1, since `localhost` has both."""
        if address == IPv6Address("::1") and self.is_ours(IPv4Address("127.0.0.1")):
            return True
        return any(address.version == network.version and address in network for network in self._allowed)

    def permits(self, text: str, *, secure: bool) -> bool:
        """Return whether this address may be dialled. Public addresses need TLS."""
        try:
            address = _parsed(text)
        except ValueError:
            return False
        return self.is_ours(address) or (secure and is_public(address))

    def check(self, url: Url) -> None:
        """Check a URL as far as possible without resolving it. Raises UrlRefused."""
        try:
            address = ip_address(url.host)
        except ValueError:
            if not url.secure and not self._allowed:
                raise UrlRefused(self._https) from None
            return
        if self.is_ours(address):
            return
        if not is_public(address):
            raise UrlRefused(f"expected a public address, such as https://example.com/hook, or one in {self._setting}")
        if not url.secure:
            raise UrlRefused(self._https)

    @property
    def _https(self) -> str:
        return f"expected https://; http:// is only allowed for addresses in {self._setting}"

    async def resolve(self, host: str, port: int, *, secure: bool) -> list[str]:
        """Return the addresses to dial, in order. Raises AddressForbidden unless all may be dialled, and socket.gaierror if
        there are none, or more than ANSWERS_MAX."""
        try:
            found: Sequence[str] = [str(ip_address(host))]
        except ValueError:
            found = await self._lookup(host, port)
        if not found or len(found) > ANSWERS_MAX:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        for address in found:
            if not self.permits(address, secure=secure):
                raise AddressForbidden(self.forbidden(address, secure=secure))
        return list(found)

    def forbidden(self, address: str, *, secure: bool) -> str:
        """Return why this address may not be dialled."""
        without = "" if secure else " without TLS"
        return f"address {address} is not allowed{without}: it is not in {self._setting}"


class Dialling:
    """Applies the guard to one call: it resolves names and makes sockets for aiohttp's connector.

    address: the last dialled address. forbidden: why an address was refused.
    """

    def __init__(self, guard: Guard, *, secure: bool) -> None:
        self._guard = guard
        self._secure = secure
        self.address: str | None = None
        self.forbidden = ""

    async def resolve(self, host: str, port: int) -> list[dict[str, Any]]:
        """Return all addresses of a name for aiohttp. Raises AddressForbidden unless all are allowed."""
        try:
            found = await self._guard.resolve(host, port, secure=self._secure)
        except AddressForbidden as error:
            self.forbidden = str(error)
            raise
        return [{"hostname": host, "host": one, "port": port, "family": 0, "proto": 0, "flags": 0} for one in found]

    def socket(self, wanted: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        """Make a socket for an address. Raises AddressForbidden if it may not be dialled."""
        family, kind, protocol, _, (address, *_) = wanted
        if not self._guard.permits(address, secure=self._secure):
            self.forbidden = self._guard.forbidden(address, secure=self._secure)
            raise AddressForbidden(self.forbidden)
        return socket.socket(family, kind, protocol)

    def admit(self, address: str) -> None:
        """Check the address of the connected peer. Raises AddressForbidden."""
        self.address = address
        if not self._guard.permits(address, secure=self._secure):
            self.forbidden = f"connected to {self._guard.forbidden(address, secure=self._secure)}"
            raise AddressForbidden(self.forbidden)
