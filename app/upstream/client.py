"""Makes the exchanges with the upstream. Each returns an `Outcome`, whatever the network or the upstream does."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ssl import SSLContext
from typing import Final
from urllib.parse import quote

from app.core.clock import monotonic
from app.core.logs.redaction import redacted_body, redacted_headers
from app.core.off_loop import run_sized
from app.http_client.caller import Called, Caller, Limits
from app.upstream.classify import Exchange, classify_fetch, classify_poll, classify_submit
from app.upstream.wire import Outcome, OutcomeKind

SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
SUBMIT_BODY_BYTES_MAX: Final = 1024 * 1024
POLL_BODY_BYTES_MAX: Final = 1024 * 1024


class UpstreamClient:
    """Submits on connections used once, polls and fetches on ones kept alive. One for a process, created in its event loop.

    URLs are built only from `url`, never from an answer: each request carries the API key.
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
        proxy: str | None = None,
    ) -> None:
        self._fetch_limits = Limits(connect_seconds, poll_seconds, fetch_seconds, result_bytes_max)
        self._submits = Caller(
            url,
            headers={"x-api-key": api_key},
            connections_max=submit_connections_max,
            keep_alive=False,
            limits=Limits(connect_seconds, submit_seconds, submit_seconds, SUBMIT_BODY_BYTES_MAX),
            ssl_context=ssl_context,
            proxy=proxy,
        )
        self._reads = Caller(
            url,
            headers={"x-api-key": api_key},
            connections_max=poll_connections_max,
            keep_alive=True,
            limits=Limits(connect_seconds, poll_seconds, poll_seconds, POLL_BODY_BYTES_MAX),
            ssl_context=ssl_context,
            proxy=proxy,
        )

    async def submit(self, *, model: str, body: bytes, before_send: Callable[[], Awaitable[None]]) -> Outcome:
        """Start a job with exactly these bytes.

        `before_send` is awaited when the connection is open and nothing is written. If it raises, nothing was sent,
        and the exception is raised here; nothing else is. `submit_seconds` include `before_send`.
        """
        if not SLUG.fullmatch(model):
            return Outcome(OutcomeKind.REJECTED, None, 0.0, "invalid_slug")
        began_at = monotonic()
        called = await self._submits.call("POST", f"/v2/{model}", body=body, before_send=before_send)
        return await _told(classify_submit, called, began_at)

    async def poll(self, upstream_id: str) -> Outcome:
        """Ask for a job's state. Raises nothing."""
        began_at = monotonic()
        called = await self._reads.call("GET", f"{self._requests_path(upstream_id)}/status")
        return await _told(classify_poll, called, began_at)

    async def fetch(self, upstream_id: str) -> Outcome:
        """Read a job's final body. Raises nothing."""
        began_at = monotonic()
        called = await self._reads.call(
            "GET",
            self._requests_path(upstream_id),
            limits=self._fetch_limits,
        )
        return await _told(classify_fetch, called, began_at)

    async def close(self) -> None:
        """Close every connection, also those in use."""
        await self._submits.close()
        await self._reads.close()

    def _requests_path(self, upstream_id: str) -> str:
        return f"/v2/requests/{quote(upstream_id, safe='')}"


async def _told(classify: Callable[[Exchange], Outcome], called: Called, began_at: float) -> Outcome:
    """Return the outcome of an exchange. Nothing in it that could be stored, logged or shown has a secret of ours."""
    took_seconds = monotonic() - began_at
    body = await redacted_body(called.body)
    headers = called.headers if called.status_code == 200 else redacted_headers(called.headers)  # a 200 keeps none
    exchange = Exchange(
        sent=called.sent,
        status_code=called.status_code,
        duration_seconds=took_seconds,
        body=body,
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in headers},
        failure=called.failure,
    )
    outcome = await run_sized(len(body), lambda: classify(exchange))
    return outcome if body is called.body else replace(outcome, original=called.body)
