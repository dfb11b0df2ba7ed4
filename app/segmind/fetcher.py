"""Fetch files from URLs that are not trusted: GET over connections that the guard allows, limited in size and time.

No redirects, proxies, cookies or keys, because the host is not trusted.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final

from app.http_client.caller import Called, Caller, Limits, default_ssl_context
from app.http_client.guard import Guard, Url, UrlRefused, parse_url

URL_LENGTH_MAX: Final = 8192
"""Signed URLs of object stores are long."""


class NotFetched(Exception):
    """The file could not be fetched. `reason`: why, for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole file. media_type: the server's Content-Type header. None if it has none."""

    content: bytes
    media_type: str | None


class Fetcher:
    """Fetches at most `at_once` files concurrently. Other calls wait; the wait counts for their timeout."""

    def __init__(
        self,
        guard: Guard,
        *,
        limits: Limits,
        at_once: int,
        trusted_url: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`trusted_url`: its scheme, host and port are always allowed, at any address."""
        self._guard = guard
        self._limits = limits
        self._turns = asyncio.Semaphore(at_once)
        self._trusted = _place(trusted_url)
        self._ssl_context = ssl_context or default_ssl_context()

    async def get(self, text: str) -> Fetched:
        """Fetch the file at this URL. Raises NotFetched."""
        try:
            url = parse_url(text, length_max=URL_LENGTH_MAX)
        except UrlRefused as error:
            raise NotFetched(f"url_refused: {error}") from None
        guard = None if _place(text) == self._trusted else self._guard
        try:
            async with asyncio.timeout(self._limits.total_seconds), self._turns:
                called = await self._call(url, guard)
        except TimeoutError:
            raise NotFetched("total_timeout") from None
        if called.forbidden:
            raise NotFetched(f"forbidden: {called.forbidden}")
        if called.status_code not in (None, 200):
            raise NotFetched(f"status_{called.status_code}")
        if called.failure is not None:
            raise NotFetched(called.failure)
        return Fetched(called.body, called.header(b"content-type"))

    async def _call(self, url: Url, guard: Guard | None) -> Called:
        # a new caller, so that no request uses a connection to another host
        caller = Caller(
            url.origin, headers={}, connections_max=1, keep_alive=False, limits=self._limits,
            ssl_context=self._ssl_context, guard=guard,
        )  # fmt: skip
        try:
            return await caller.call("GET", url.target)
        finally:
            await caller.close()


def _place(url: str | None) -> tuple[bool, str, int] | None:
    try:
        parsed = url and parse_url(url, length_max=URL_LENGTH_MAX)
    except UrlRefused:
        return None
    return (parsed.secure, parsed.host, parsed.port) if parsed else None
