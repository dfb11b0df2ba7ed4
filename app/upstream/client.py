"""The exchanges with the upstream: each returns an `Outcome`, whatever the network or the upstream does."""

import re
from collections.abc import Awaitable, Callable
from ssl import SSLContext
from typing import Any, Final
from urllib.parse import quote

from app.core.clock import monotonic
from app.core.http import URL, Client, ExchangeError, NotSent, Response, open_client
from app.upstream.classify import Exchange, classify_fetch, classify_poll, classify_submit
from app.upstream.wire import Outcome, OutcomeKind

SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
SUBMIT_BODY_BYTES_MAX: Final = 1024 * 1024
POLL_BODY_BYTES_MAX: Final = 1024 * 1024


class UpstreamClient:
    """Submits on connections used once, polls and fetches on ones kept alive; one per process, made in its loop.

    URLs are built from `url` alone, never taken from an answer: the API key would go along.
    """

    def __init__(
        self,
        *,
        url: str,
        api_key: str,
        submit_connections_max: int,
        poll_connections_max: int,
        connect_seconds: float = 5,
        submit_seconds: float = 30,
        poll_seconds: float = 15,
        fetch_seconds: float = 60,
        result_bytes_max: int = 32 * 1024 * 1024,
        ssl_context: SSLContext | None = None,
    ) -> None:
        self._url = str(URL(url)).rstrip("/")  # a wrong one is found out here, not on the first submit
        self._fetch_seconds = fetch_seconds
        self._result_bytes_max = result_bytes_max
        self._submits = open_client(
            connections_max=submit_connections_max,
            keep_alive=False,
            connect_seconds=connect_seconds,
            read_seconds=submit_seconds,
            total_seconds=submit_seconds,
            body_bytes_max=SUBMIT_BODY_BYTES_MAX,
            ssl_context=ssl_context,
        )
        self._reads = open_client(
            connections_max=poll_connections_max,
            keep_alive=True,
            connect_seconds=connect_seconds,
            read_seconds=poll_seconds,
            total_seconds=poll_seconds,
            body_bytes_max=POLL_BODY_BYTES_MAX,
            wait_seconds=poll_seconds,
            ssl_context=ssl_context,
        )
        for client in (self._submits, self._reads):
            client.headers["x-api-key"] = api_key

    async def submit(self, *, model: str, body: bytes, before_send: Callable[[], Awaitable[None]]) -> Outcome:
        """Start a job with exactly these bytes.

        `before_send` is awaited with the connection open and nothing written; what it raises is raised here, and
        nothing was sent. Nothing else is raised. `submit_seconds` count from the call, `before_send` included.
        """
        if not SLUG.fullmatch(model):
            return Outcome(OutcomeKind.REJECTED, None, 0.0, "invalid_slug")
        exchange = await _exchange(
            self._submits,
            "POST",
            f"{self._url}/v2/{model}",
            content=body,
            headers={"content-type": "application/json"},
            extensions={"before_send": before_send},
        )
        return classify_submit(exchange)

    async def poll(self, upstream_id: str) -> Outcome:
        """Ask for a job's state. Raises nothing."""
        return classify_poll(await _exchange(self._reads, "GET", f"{self._requests_url(upstream_id)}/status"))

    async def fetch(self, upstream_id: str) -> Outcome:
        """Get a job's final body. Raises nothing."""
        extensions = {"total_seconds": self._fetch_seconds, "body_bytes_max": self._result_bytes_max}
        exchange = await _exchange(self._reads, "GET", self._requests_url(upstream_id), extensions=extensions)
        return classify_fetch(exchange)

    async def close(self) -> None:
        """Close every connection, those in use included."""
        await self._submits.aclose()
        await self._reads.aclose()

    def _requests_url(self, upstream_id: str) -> str:
        return f"{self._url}/v2/requests/{quote(upstream_id, safe='')}"


async def _exchange(client: Client, method: str, url: str, **given: Any) -> Exchange:
    began_at = monotonic()
    sent, failure = True, None
    answer: Response | None = None
    pieces: list[bytes] = []
    try:
        async with client.stream(method, url, **given) as answer:
            async for piece in answer.aiter_raw():
                pieces.append(piece)
    except ExchangeError as error:
        sent, failure = not isinstance(error, NotSent), error.reason
    return Exchange(
        sent=sent,
        status_code=None if answer is None else answer.status_code,
        duration_seconds=monotonic() - began_at,
        body=b"".join(pieces),
        headers={} if answer is None else answer.headers,
        failure=failure,
    )
