"""One POST to a receiver that may be anybody: dialled by the guard's leave, over in 15 seconds whatever it does, 4 kB of
its answer kept. No redirects, no proxies, no decompression, no cookies, a connection of its own each time."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.core import clock
from app.core.guard import Dialling, Guard, Url, UrlRefused, parse_url
from app.core.http import default_ssl_context
from app.core.http_answer import Answer, Broken
from app.core.http_exchange import BeforeSend, Limits, begin, finish, header_lines
from app.core.http_pool import Origin, Pool
from app.core.redaction import redacted
from app.webhooks.decide import outcome_of
from app.webhooks.models import AttemptOutcome

TOTAL_SECONDS: Final = 15.0
"""Name, connection, TLS, request, headers and body of one attempt together."""
CONNECT_SECONDS: Final = 10.0
ANSWER_BYTES_MAX: Final = 4096
BODY_BYTES_MAX: Final = 1 << 62
"""What may be declared: we stop reading long before."""
USER_AGENT: Final = "waystation-webhooks"

_TIMED_OUT = frozenset({"connect_timeout", "total_timeout", "read_timeout", "write_timeout"})


@dataclass(frozen=True, slots=True)
class Attempted:
    """What came of one POST. address: what was dialled last; detail: a short constant, or what was expected."""

    outcome: AttemptOutcome
    duration_seconds: float
    status_code: int | None = None
    retry_after: str | None = None
    address: str | None = None
    detail: str = ""
    answer: bytes | None = None


class Sender:
    """One worker's hands. `total_seconds` bounds every attempt."""

    def __init__(
        self, guard: Guard, *, total_seconds: float = TOTAL_SECONDS, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._guard = guard
        self._total_seconds = total_seconds
        self._ssl_context = ssl_context or default_ssl_context()

    async def post(
        self, text: str, *, headers: Mapping[str, str], body: bytes, before_send: BeforeSend | None = None
    ) -> Attempted:
        """POST a body. Raises what `before_send` raises, with nothing sent, and nothing else."""
        began_at = clock.monotonic()
        try:
            url = parse_url(text)
        except UrlRefused as error:
            return Attempted(AttemptOutcome.FORBIDDEN, 0.0, detail=str(error))
        dialling = Dialling(self._guard, secure=url.secure)
        try:
            async with asyncio.timeout(self._total_seconds):
                told = await self._exchange(url, dialling, _written(url, headers, body), before_send)
        except (Broken, TimeoutError) as error:
            reason = error.reason if isinstance(error, Broken) else "total_timeout"
            outcome = AttemptOutcome.TIMED_OUT if reason in _TIMED_OUT else AttemptOutcome.UNREACHABLE
            if dialling.forbidden:
                outcome, reason = AttemptOutcome.FORBIDDEN, dialling.forbidden
            return Attempted(outcome, clock.monotonic() - began_at, address=dialling.address, detail=reason)
        outcome = outcome_of(told.status_code)
        if told.failure is not None and outcome is AttemptOutcome.DELIVERED:
            outcome = AttemptOutcome.TIMED_OUT if told.failure in _TIMED_OUT else AttemptOutcome.UNREACHABLE
        return Attempted(
            outcome,
            clock.monotonic() - began_at,
            told.status_code,
            told.retry_after,
            dialling.address,
            told.failure or "",
            told.beginning,
        )

    async def _exchange(self, url: Url, dialling: Dialling, request: bytes, before_send: BeforeSend | None) -> "_Told":
        """Raises Broken where no whole head came."""
        limits = Limits(
            wait_seconds=CONNECT_SECONDS,
            connect_seconds=CONNECT_SECONDS,
            quiet_seconds=self._total_seconds,
            total_seconds=self._total_seconds,
            body_bytes_max=BODY_BYTES_MAX,
        )
        origin = Origin(url.secure, url.host, url.port)
        # a pool of its own: nothing of one receiver's connection is ever met by another's request
        pool = Pool(
            connections_max=1,
            keep_alive=False,
            idle_seconds=1,
            ssl_context=self._ssl_context,
            resolve=dialling.resolve,
            admit=dialling.admit,
        )
        connection, answer = await begin(pool, origin, request, limits=limits, fresh=True, before_send=before_send)
        try:
            beginning, failure = await _beginning(answer)
        finally:
            finish(pool, origin, connection, answer, keep=False)
        return _Told(answer.status_code, _header(answer, b"retry-after"), beginning, failure)


@dataclass(frozen=True, slots=True)
class _Told:
    """A receiver's answer, as far as it came. failure: what broke its body off."""

    status_code: int
    retry_after: str | None
    beginning: bytes
    failure: str | None


def _written(url: Url, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = {
        "host": url.netloc,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": USER_AGENT,
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
        **headers,
    }
    return b"POST %b HTTP/1.1\r\n%b\r\n%b" % (url.target.encode("ascii"), header_lines(lines), body)


async def _beginning(answer: Answer) -> tuple[bytes, str | None]:
    """The first bytes of the body; whoever sends more is hung up on. With it what broke it off, if something did."""
    kept = bytearray()
    failure = None
    try:
        while len(kept) < ANSWER_BYTES_MAX and (piece := await answer.piece()):
            kept += piece[: ANSWER_BYTES_MAX - len(kept)]
    except Broken as broken:
        failure = broken.reason
    return redacted(bytes(kept))[:ANSWER_BYTES_MAX], failure


def _header(answer: Answer, wanted: bytes) -> str | None:
    return next((value.decode("latin-1")[:100] for name, value in answer.headers if name == wanted), None)
