"""POST to a receiver that is not trusted. The guard checks the address, an attempt ends within 15 seconds, and 4 kB of the
answer are kept. No redirects, proxies, decompression or cookies; each attempt has a new connection."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.core import clock
from app.core.logs.redaction import redacted
from app.http_client.caller import Called, Caller, Limits
from app.http_client.exchange import BeforeSend
from app.http_client.guard import Guard, UrlRefused, parse_url
from app.webhooks.decide import outcome_of
from app.webhooks.models import AttemptOutcome

TOTAL_SECONDS: Final = 15.0
"""One attempt in total: DNS, connection, TLS, request, headers and body."""
CONNECT_SECONDS: Final = 10.0
ANSWER_BYTES_MAX: Final = 4096
POSTS_MAX: Final = 256
"""Concurrent POSTs."""
USER_AGENT: Final = "waystation-webhooks"

_TIMED_OUT = frozenset({"connect_timeout", "total_timeout", "read_timeout", "write_timeout"})


@dataclass(frozen=True, slots=True)
class Attempted:
    """The outcome of one POST. address: the last address connected to. detail: a short constant, or why the URL is refused."""

    outcome: AttemptOutcome
    duration_seconds: float
    status_code: int | None = None
    retry_after: str | None = None
    address: str | None = None
    detail: str = ""
    answer: bytes | None = None


class Sender:
    """Sends the POSTs of one worker. Created and closed in its event loop. `total_seconds`: the timeout of each attempt."""

    def __init__(
        self, guard: Guard, *, total_seconds: float = TOTAL_SECONDS, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._caller = Caller(
            headers={"user-agent": USER_AGENT, "accept-encoding": "identity"}, connections_max=POSTS_MAX, keep_alive=False,
            ssl_context=ssl_context, limits=Limits(CONNECT_SECONDS, total_seconds, total_seconds, ANSWER_BYTES_MAX),
            guard=guard, part=True,
        )  # fmt: skip

    async def post(
        self, text: str, *, headers: Mapping[str, str], body: bytes, before_send: BeforeSend | None = None
    ) -> Attempted:
        """POST a body. Raises only what `before_send` raises; then nothing was sent."""
        began_at = clock.monotonic()
        try:
            url = parse_url(text)
        except UrlRefused as error:
            return Attempted(AttemptOutcome.FORBIDDEN, 0.0, detail=str(error))
        called = await self._caller.call(
            "POST", url.origin + url.target, headers=headers, body=body, before_send=before_send
        )
        return Attempted(
            _outcome(called),
            clock.monotonic() - began_at,
            called.status_code,
            (called.header(b"retry-after") or "")[:100] or None,
            called.address,
            called.forbidden or called.failure or "",
            None if called.status_code is None else redacted(called.body[:ANSWER_BYTES_MAX])[:ANSWER_BYTES_MAX],
        )

    async def close(self) -> None:
        """Close every connection, those in use included."""
        await self._caller.close()


def _outcome(called: Called) -> AttemptOutcome:
    if called.forbidden:
        return AttemptOutcome.FORBIDDEN
    if called.status_code is not None:
        outcome = outcome_of(called.status_code)
        if called.failure is None or outcome is not AttemptOutcome.DELIVERED:
            return outcome
    return AttemptOutcome.TIMED_OUT if called.failure in _TIMED_OUT else AttemptOutcome.UNREACHABLE
