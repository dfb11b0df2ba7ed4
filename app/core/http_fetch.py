"""Files at URLs that somebody else named: GET over connections that the guard allows, bounded in size and time.

No redirects, no proxies, no cookies, no decompression, and no key of ours: the host may be anybody's.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final

from app.core.guard import Dialling, Guard, Url, UrlRefused, parse_url
from app.core.http import default_ssl_context
from app.core.http_answer import Broken
from app.core.http_exchange import USER_AGENT, Limits, begin, finish, header_lines
from app.core.http_pool import Origin, Pool

URL_LENGTH_MAX: Final = 8192
"""Signed URLs of object stores are longer than most."""


class NotFetched(Exception):
    """There is no file to be had; `reason` says why, for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole file. media_type: as its server told it, None where it did not."""

    content: bytes
    media_type: str | None


class Fetcher:
    """Fetches `at_once` files at a time; who comes later waits, within the same limits."""

    def __init__(
        self,
        guard: Guard,
        *,
        limits: Limits,
        at_once: int,
        trusted_url: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`trusted_url`: its scheme, host and port are always allowed, wherever they are."""
        self._guard = guard
        self._limits = limits
        self._turns = asyncio.Semaphore(at_once)
        self._trusted = _find_origin(trusted_url)
        self._ssl_context = ssl_context or default_ssl_context()

    async def get(self, text: str) -> Fetched:
        """The file at this URL; raises NotFetched."""
        try:
            url = parse_url(text, length_max=URL_LENGTH_MAX)
        except UrlRefused as error:
            raise NotFetched(f"url_refused: {error}") from None
        dialling = None if _origin(url) == self._trusted else Dialling(self._guard, secure=url.secure)
        try:
            async with asyncio.timeout(self._limits.total_seconds), self._turns:
                return await self._exchange(url, dialling)
        except (Broken, TimeoutError) as error:
            reason = error.reason if isinstance(error, Broken) else "total_timeout"
            if dialling is not None and dialling.forbidden:
                reason = f"forbidden: {dialling.forbidden}"
            raise NotFetched(reason) from None

    async def _exchange(self, url: Url, dialling: Dialling | None) -> Fetched:
        # a pool of its own: the guard looks at each connection, and none is used again for another host
        pool = Pool(
            connections_max=1,
            keep_alive=False,
            idle_seconds=1,
            ssl_context=self._ssl_context,
            resolve=None if dialling is None else dialling.resolve,
            admit=None if dialling is None else dialling.admit,
        )
        origin = _origin(url)
        connection, answer = await begin(pool, origin, _request(url), limits=self._limits, fresh=True)
        try:
            headers = {name: value.decode("latin-1") for name, value in answer.headers}
            if answer.status_code != 200:
                raise NotFetched(f"status_{answer.status_code}")
            if headers.get(b"content-encoding", "identity").lower() != "identity":
                raise NotFetched("encoded")
            pieces: list[bytes] = []
            while piece := await answer.piece():
                pieces.append(piece)
        finally:
            finish(pool, origin, connection, answer, keep=False)
        return Fetched(b"".join(pieces), headers.get(b"content-type"))


def _find_origin(url: str | None) -> Origin | None:
    try:
        return None if url is None else _origin(parse_url(url))
    except UrlRefused:
        return None


def _origin(url: Url) -> Origin:
    return Origin(url.secure, url.host, url.port)


def _request(url: Url) -> bytes:
    lines = {
        "host": url.netloc,
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
        "connection": "close",
    }
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (url.target.encode("ascii"), header_lines(lines))
