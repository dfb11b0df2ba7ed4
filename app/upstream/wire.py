"""The upstream's JSON: what it means, and how to show it to a tenant with every other byte unchanged.

The bodies are never parsed and written again. Big integers, 1e-400, NUL, lone surrogates, spacing and the order of
keys stay as they came. Bytes are decoded as UTF-8 with `surrogateescape`, so invalid UTF-8 stays, too.
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
"""A cost of a thousand million credits or more is not believed."""


class OutcomeKind(StrEnum):
    """The kinds of outcome, explained in app/upstream."""

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
    """A job's state in the upstream's words, in exact upper case. Any other text is no state."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Metrics:
    """What the upstream measured. None means that it did not say, never zero.

    cost_micro: micro-credits; smaller fractions are rounded half up.
    remaining_credits: the company's balance, as the JSON text of the number.
    """

    inference_seconds: float | None = None
    queue_seconds: float | None = None
    total_seconds: float | None = None
    cost_micro: int | None = None
    remaining_credits: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an exchange, as a value.

    detail: a short constant: `http_503`, `connect_refused`, `half_body`.
    upstream_id: of an accepted submit; also of an unknown one if a 2xx had named it before it broke off.
    body: a final body as it came, without our own secrets: of a fetch that succeeded, of `failed`, of `rejected`.
    error: the upstream's own words, fit for a Postgres text.
    original: the body as it came, if something was removed that we must not show. It is encrypted, never shown.
    retry_after_seconds: as the upstream asks, 0 to 3600.
    answered: a complete HTTP answer came that is no 5xx, readable or not: the upstream is available.
    in_json: its body is a complete JSON object, like all of the upstream's own answers. A proxy's page is not.
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
    """Return the JSON text of `error`: mostly a string, null in a body that succeeded. Raises NotAnObject."""
    return member(body, "error")


def rewritten(body: bytes, *, request_id: str, remaining_credits: str | None) -> bytes:
    """Return the body for a tenant, all else byte for byte. Raises NotAnObject. Every `request_id` becomes ours
    (added if missing). `metrics.remaining_credits` becomes the given JSON number, or is removed."""
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
    """Return the id in the JSON text of a `request_id`, or None if no request can use it (as after a secret was removed)."""
    value = string_of(raw)
    usable = value is not None and _UPSTREAM_ID.fullmatch(value) and value not in (".", "..") and MARK not in value
    return value if usable else None


def storable(text: str) -> str:
    """Make the text fit for Postgres: NUL and lone surrogates become U+FFFD, and it has at most 8,000 characters."""
    return _UNSTORABLE.sub("\ufffd", text[:ERROR_CHARACTERS_MAX])


def metrics_of(raw: str | None) -> Metrics | None:
    """Return the figures in the JSON text of `metrics`, or None if it is no object."""
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
    """Convert the JSON text of credits (a number, or a string with one) to micro-credits; None for anything else."""
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
