"""The upstream's JSON: what it means to us, and how to show it to a tenant with every other byte left alone.

Their bodies are never parsed and written again: big integers, 1e-400, NUL, lone surrogates, spacing and order of keys
come out as they came in. Bytes are read as UTF-8 with `surrogateescape`, so that even what is no UTF-8 survives.
"""

import json
import math
import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import StrEnum
from typing import Final

from app.core.logs.redaction import MARK
from app.upstream.json_members import bytes_of, member, members, rebuilt, slices, string_of, text_of

ERROR_CHARACTERS_MAX: Final = 8_000
COST_EXPONENT_MAX: Final = 8
"""What claims to cost a thousand million credits or more is no cost."""


class OutcomeKind(StrEnum):
    """What an exchange told us."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    THROTTLED = "throttled"
    ACCOUNT = "account"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    GONE = "gone"
    UNREADABLE = "unreadable"
    TROUBLE = "trouble"


class UpstreamState(StrEnum):
    """A job's state in the upstream's words; exact upper case, anything else is no state."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Metrics:
    """What the upstream measured; None is "it did not say", never zero.

    cost_micro: credits in micro-units, exact but for what is below one (rounded half up).
    remaining_credits: the company's balance, as the JSON text of the number.
    """

    inference_seconds: float | None = None
    queue_seconds: float | None = None
    total_seconds: float | None = None
    cost_micro: int | None = None
    remaining_credits: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an exchange told us, as a value.

    detail: a short constant: `http_503`, `connect_refused`, `half_body`.
    upstream_id: of an accepted submit; of an unknown one too, where a 2xx that broke off had already named it.
    body: a final body as it came, without our own secrets: of a fetch that succeeded, of `failed`, of `rejected`.
    error: the upstream's own words, fit for a Postgres text.
    original: the body as it came, where something was taken out of it that we must not show: to be sealed, never shown.
    retry_after_seconds: as asked for by the upstream, 0 to 3600.
    answered: a whole HTTP answer came, and no 5xx, whether we can read it or not: the upstream is there.
    in_json: its body is a whole JSON object, as all of the upstream's own answers are; a proxy's page is not.
    """

    kind: OutcomeKind
    status_code: int | None
    duration_seconds: float
    detail: str
    upstream_id: str | None = None
    state: UpstreamState | None = None
    body: bytes | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    metrics: Metrics | None = None
    answered: bool = False
    in_json: bool = False
    original: bytes | None = field(default=None, repr=False)


_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,6})?", re.ASCII)
_UPSTREAM_ID: Final = re.compile(r"[\x20-\x7e]{1,200}")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_MICRO: Final = Context(prec=60, rounding=ROUND_HALF_UP)


def error_member(body: bytes) -> bytes | None:
    """The JSON text of `error`: mostly a string, null on a body that succeeded; raises NotAnObject."""
    return member(body, "error")


def rewritten(body: bytes, *, request_id: str, remaining_credits: str | None) -> bytes:
    """The body for a tenant: every `request_id` is ours (added where missing), `metrics.remaining_credits` is the
    given JSON number, or gone; all else is byte for byte as it was. Raises NotAnObject."""
    text = text_of(body)
    shown_id = json.dumps(request_id)
    found = list(members(text))
    if all(one.key != "request_id" for one in found):
        at = found[-1].value_end if found else text.index("{") + 1
        return rewritten(
            bytes_of(f'{text[:at]}{"," if found else ""}"request_id":{shown_id}{text[at:]}'),
            request_id=request_id,
            remaining_credits=remaining_credits,
        )

    def shown_credits(key: str, value: str) -> str | None:
        return remaining_credits if key == "remaining_credits" else value

    def shown(key: str, value: str) -> str:
        if key == "request_id":
            return shown_id
        if key == "metrics" and value.startswith("{"):
            return rebuilt(value, list(members(value)), shown_credits)
        return value

    return bytes_of(rebuilt(text, found, shown))


def upstream_id_of(raw: str | None) -> str | None:
    """The id in the JSON text of a `request_id`, or None where we could not ask for it by that: a secret of ours that was
    in it is gone, and with it the id."""
    value = string_of(raw)
    usable = value is not None and _UPSTREAM_ID.fullmatch(value) and value not in (".", "..") and MARK not in value
    return value if usable else None


def storable(text: str) -> str:
    """The text as Postgres takes it: no NUL, no lone surrogates (U+FFFD instead), at most 8,000 characters."""
    return _UNSTORABLE.sub("\ufffd", text[:ERROR_CHARACTERS_MAX])


def metrics_of(raw: str | None) -> Metrics | None:
    """The figures in the JSON text of `metrics`, None where it is no object."""
    if raw is None or not raw.startswith("{"):
        return None
    found = slices(bytes_of(raw), "inference_time", "queue_time", "total_time", "cost", "remaining_credits")
    return Metrics(
        inference_seconds=_seconds(found.get("inference_time")),
        queue_seconds=_seconds(found.get("queue_time")),
        total_seconds=_seconds(found.get("total_time")),
        cost_micro=micro_of(found.get("cost")),
        remaining_credits=_number(found.get("remaining_credits")),
    )


def micro_of(raw: str | None) -> int | None:
    """Credits in the JSON text of a number (or of a string that holds one) as micro-units; None for anything else."""
    number = _number(raw)
    if number is None:
        return None
    credits = Decimal(number)
    if credits < 0 or credits.adjusted() > COST_EXPONENT_MAX:
        return None
    return int(_MICRO.multiply(credits, Decimal(1_000_000)).quantize(Decimal(1), context=_MICRO))


def _number(raw: str | None) -> str | None:
    if raw is None or len(raw) > 64:
        return None
    number = string_of(raw) if raw.startswith('"') else raw
    return number if number is not None and _NUMBER.fullmatch(number) else None


def _seconds(raw: str | None) -> float | None:
    number = _number(raw)
    if number is None:
        return None
    seconds = float(number)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
