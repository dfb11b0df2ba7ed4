"""Turns an exchange into its outcome. It is pure, handles every answer, never guesses, and never raises.

A submit is judged by how far it got, then by its status line. Only a complete 2xx with an id is accepted, and only a
submit that certainly started nothing may be sent again. A poll is judged by the body's `status` first, because the
upstream answers 422 for a failed job.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import orjson

from app.core.clock import now
from app.upstream.json_members import NotAnObject, members, slices, string_of, text_of
from app.upstream.wire import Metrics, Outcome, OutcomeKind, UpstreamState, metrics_of, storable, upstream_id_of

RETRY_AFTER_SECONDS_MAX: Final = 3600.0
_STATES: Final = {state.value: state for state in UpstreamState}
_RUNNING: Final = {"QUEUED": UpstreamState.QUEUED, "PROCESSING": UpstreamState.PROCESSING}
RUNNING_BYTES_MAX: Final = 2048
ERROR_KEYS: Final = ("error", "error_message", "detail", "message")
_ACCOUNT_WORDS: Final = re.compile(
    r"\binsufficient (?:credits?|balance|funds)\b|\b(?:not enough|out of|no) credits?\b|\bspend(?:ing)?[ -]?(?:limit|cap)\b",
    re.IGNORECASE,
)
"""A 406 about a limit of one parameter must not match: a match stops the submits of the whole company."""
_PLAIN_NUMBER: Final = re.compile(r"\d{1,20}(?:\.\d{1,20})?", re.ASCII)
_FRACTION: Final = re.compile(r"(\.\d{6})\d+", re.ASCII)
_UNREAD: Final = frozenset({"body_too_large", "head_too_large", "unknown_coding", "bad_coding"})
"""Why we did not read an answer that came. These say nothing against the upstream."""
_UNDERSTOOD: Final = frozenset({OutcomeKind.ACCEPTED, OutcomeKind.RUNNING, OutcomeKind.SUCCEEDED, OutcomeKind.FAILED})


@dataclass(frozen=True, slots=True)
class Exchange:
    """How far one HTTP call got, and what came of its answer.

    sent: its first byte was passed to the socket. status_code: None if no status line came.
    headers: lower-case names. failure: what interrupted it (`half_body`), None if the answer is complete.
    """

    sent: bool
    status_code: int | None
    duration_seconds: float
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class _Said:
    """What a body says if it is a complete JSON object. Otherwise `unread` says why it was not read."""

    state: UpstreamState | None = None
    error: str | None = None
    upstream_id: str | None = None
    metrics: Metrics | None = None
    unread: str | None = None


def classify_submit(exchange: Exchange) -> Outcome:
    """Return ACCEPTED, REJECTED, THROTTLED, ACCOUNT or NOT_SENT; UNKNOWN in all other cases."""
    code = exchange.status_code
    if not exchange.sent:
        return _outcome(OutcomeKind.NOT_SENT, exchange)
    if code is None:
        return _outcome(OutcomeKind.UNKNOWN, exchange)
    said = _read(exchange)
    if 200 <= code < 300:
        if said.upstream_id is not None:
            return _outcome(OutcomeKind.ACCEPTED, exchange, said)
        missing = said.unread or "no_request_id"
        return _outcome(OutcomeKind.UNKNOWN, exchange, detail=missing, upstream_id=_named_so_far(exchange))
    if code in (425, 429):
        return _outcome(OutcomeKind.THROTTLED, exchange, said)
    if code in (401, 402) or (code == 406 and _is_about_account(exchange, said)):
        return _outcome(OutcomeKind.ACCOUNT, exchange, said)
    if 400 <= code < 500 and code != 408:
        return _outcome(OutcomeKind.REJECTED, exchange, said)
    # 3xx, 408 or 5xx: it may have started a job.
    return _outcome(OutcomeKind.UNKNOWN, exchange, said, upstream_id=None)


def classify_poll(exchange: Exchange) -> Outcome:
    """Return RUNNING, SUCCEEDED (no body), FAILED, GONE, THROTTLED, ACCOUNT or UNREADABLE; TROUBLE in all other cases.

    UNREADABLE: a 2xx, or the 422 of a failed job, that says nothing we can read.
    """
    if exchange.status_code == 200 and exchange.failure is None and (state := _running(exchange.body)) is not None:
        return Outcome(OutcomeKind.RUNNING, 200, exchange.duration_seconds, "http_200", state=state, answered=True)
    return _classify_read(exchange, with_body=False)


def classify_fetch(exchange: Exchange) -> Outcome:
    """Like `classify_poll`, but SUCCEEDED has the body."""
    return _classify_read(exchange, with_body=True)


def _classify_read(exchange: Exchange, *, with_body: bool) -> Outcome:
    code = exchange.status_code
    if code is None:
        return _outcome(OutcomeKind.TROUBLE, exchange)
    said = _read(exchange)
    if said.state is UpstreamState.FAILED:
        return _outcome(OutcomeKind.FAILED, exchange, said)
    if 200 <= code < 300:
        if said.state is UpstreamState.COMPLETED:
            return _outcome(OutcomeKind.SUCCEEDED, exchange, said, with_body=with_body)
        if said.state is not None:
            return _outcome(OutcomeKind.RUNNING, exchange, said)
        kind = OutcomeKind.UNREADABLE if _whole(exchange) else OutcomeKind.TROUBLE
        return _outcome(kind, exchange, said, detail=said.unread or "unknown_state")
    if code == 422 and _whole(exchange) and said.unread is not None:
        return _outcome(OutcomeKind.UNREADABLE, exchange, said, detail=said.unread)
    if code == 429:
        return _outcome(OutcomeKind.THROTTLED, exchange, said)
    if code in (401, 402, 403):
        return _outcome(OutcomeKind.ACCOUNT, exchange, said)
    if code in (404, 410) and exchange.failure is None:
        return _outcome(OutcomeKind.GONE, exchange, said)
    return _outcome(OutcomeKind.TROUBLE, exchange, said)


def _outcome(
    kind: OutcomeKind,
    exchange: Exchange,
    said: _Said | None = None,
    *,
    detail: str | None = None,
    upstream_id: str | None = None,
    with_body: bool = True,
) -> Outcome:
    final = kind in (OutcomeKind.SUCCEEDED, OutcomeKind.FAILED, OutcomeKind.REJECTED)
    said = said or _Said(unread="not_looked_at")
    return Outcome(
        kind=kind,
        status_code=exchange.status_code,
        duration_seconds=exchange.duration_seconds,
        detail=detail or exchange.failure or f"http_{exchange.status_code}",
        upstream_id=said.upstream_id if kind is OutcomeKind.ACCEPTED else upstream_id,
        state=said.state,
        body=exchange.body if final and with_body and exchange.failure is None else None,
        error=said.error,
        retry_after_seconds=retry_after_seconds(exchange.headers),
        metrics=said.metrics,
        answered=kind in _UNDERSTOOD or _is_answered(exchange),
        in_json=said.unread is None,
    )


def _whole(exchange: Exchange) -> bool:
    """Whether the whole answer came, as far as wanted."""
    return exchange.failure is None or exchange.failure in _UNREAD


def _is_answered(exchange: Exchange) -> bool:
    if exchange.status_code is None:
        return exchange.failure in _UNREAD
    return exchange.status_code < 500 and _whole(exchange)


def _read(exchange: Exchange) -> _Said:
    if exchange.failure is not None:
        return _Said(unread=exchange.failure)
    try:
        found = slices(exchange.body, "status", "request_id", "metrics", *ERROR_KEYS)
        state = string_of(found.get("status"))
        return _Said(
            state=_STATES.get(state or ""),
            error=error_words(found),
            upstream_id=upstream_id_of(found.get("request_id")),
            metrics=metrics_of(found.get("metrics")),
        )
    except NotAnObject as error:
        encoded = exchange.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
        return _Said(error=_plain_words(exchange.body), unread="encoded" if encoded else error.detail)


def _running(body: bytes) -> UpstreamState | None:
    """The state in a small body that says only that the job runs, as nearly all do. None: read it completely."""
    if len(body) > RUNNING_BYTES_MAX:
        return None
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    state = told.get("status") if isinstance(told, dict) else None
    return _RUNNING.get(state) if isinstance(state, str) else None


def error_words(found: Mapping[str, str]) -> str | None:
    """The error in the JSON texts of a body's members, fit for a Postgres text; None if there is none."""
    for key in ERROR_KEYS:
        raw = found.get(key)
        if raw is not None and raw != "null":
            words = string_of(raw)
            return storable(raw if words is None else words)
    return None


def _plain_words(body: bytes) -> str | None:
    text = text_of(body[:10_000]).strip()
    return storable(text) if text and text[0] not in "<{[" else None


def _named_so_far(exchange: Exchange) -> str | None:
    """The id in a 2xx that broke off after naming it. The submit did arrive, and the id finds it again."""
    text = text_of(exchange.body)
    try:
        for found in members(text):
            if found.key == "request_id":
                return upstream_id_of(text[found.value_start : found.value_end])
    except NotAnObject:
        return None
    return None


def _is_about_account(exchange: Exchange, said: _Said) -> bool:
    """Whether a 406 is about our credits or spend cap. One that broke off may be, and to wait is the safe choice."""
    return exchange.failure is not None or account_words(said.error or "") is not None


def account_words(error: str) -> str | None:
    """The words in an error that are about our credits or spend cap, or None."""
    found = _ACCOUNT_WORDS.search(error)
    return None if found is None else found[0]


def is_about_spending(words: str) -> bool:
    """Whether such words are about a cap on spending, which no balance shows."""
    return words.lower().startswith("spend")


def retry_after_seconds(headers: Mapping[str, str], *, at: datetime | None = None) -> float | None:
    """How long the upstream asks us to wait, 0 to 3600 seconds; None if it does not say so in a way that we can read."""
    for name in ("retry-after", "x-rate-limit-reset-at-utc"):
        text = headers.get(name)
        seconds = None if text is None else _seconds_until(text.strip(), at or now())
        if seconds is not None:
            return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)
    return None


def _seconds_until(text: str, at: datetime) -> float | None:
    """Seconds from delta seconds, epoch seconds or milliseconds, RFC 3339 or an HTTP date; None for any other text."""
    if not text or len(text) > 100:
        return None
    if _PLAIN_NUMBER.fullmatch(text):
        number = float(text)
        if number < 1e9:
            return number
        return (number if number < 1e11 else number / 1000) - at.timestamp()
    instant = _iso(text) or _http_date(text)
    if instant is None:
        return None
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - at).total_seconds()


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(_FRACTION.sub(r"\1", text).removesuffix(" UTC"))
    except ValueError:
        return None


def _http_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
