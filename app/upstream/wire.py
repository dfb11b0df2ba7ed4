"""The upstream's JSON: what it means to us, and how to show it to a tenant with every other byte left alone.

Their bodies are never parsed and written again: big integers, 1e-400, NUL, lone surrogates, spacing and order of keys
come out as they came in. Bytes are read as UTF-8 with `surrogateescape`, so that even what is no UTF-8 survives.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from app.core.redaction import MARK
from app.upstream.scan import TooDeep, TooManyValues, value_end

BUILT_CHARACTERS_MAX: Final = 64 * 1024
"""The values of a smaller text are built and thrown away: that is faster than to skip them, and takes 6 MB at most."""

MEMBERS_MAX: Final = 10_000
"""At the top level, where each costs us a few microseconds."""

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


class NotAnObject(ValueError):
    """The bytes are no JSON object, or one that is too deep or too large to be looked into. detail: a short constant."""

    def __init__(self, message: str, *, detail: str = "not_an_object") -> None:
        super().__init__(message)
        self.detail = detail


class Member(NamedTuple):
    """One member of an object: its key and where it stands, in characters.

    `start` to `end` is everything between the brackets or commas around it, `value_start` to `value_end` its value.
    """

    key: str
    start: int
    value_start: int
    value_end: int
    end: int


_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,6})?", re.ASCII)
_UPSTREAM_ID: Final = re.compile(r"[\x20-\x7e]{1,200}")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_MICRO: Final = Context(prec=60, rounding=ROUND_HALF_UP)


def text_of(body: bytes) -> str:
    """The body's characters, reversible by `bytes_of`."""
    return body.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """The bytes behind a slice of `text_of`."""
    return text.encode("utf-8", "surrogateescape")


def members(text: str) -> Iterator[Member]:
    """The top-level members in order, duplicates included; raises NotAnObject once the text ceases to be an object."""
    try:
        yield from _members(text)
    except (RecursionError, TooDeep):
        raise NotAnObject("nested too deeply", detail="nested_too_deeply") from None
    except TooManyValues:
        raise NotAnObject("too many values", detail="too_many_values") from None
    except json.JSONDecodeError as error:
        raise NotAnObject(f"{error.msg} at character {error.pos}") from None


def _members(text: str) -> Iterator[Member]:
    small = len(text) <= BUILT_CHARACTERS_MAX
    at = _skip(text, 1 if text.startswith("\ufeff") else 0)
    _expect(text, at, "{")
    start = at + 1
    at = _skip(text, start)
    if text[at : at + 1] == "}":
        at += 1
    else:
        for _ in range(MEMBERS_MAX):
            _expect(text, at, '"')
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, at)
            _expect(text, at, ":")
            value_start = _skip(text, at + 1)
            end = _DECODER.raw_decode(text, value_start)[1] if small else value_end(text, value_start)
            at = _skip(text, end)
            if text[at : at + 1] not in (",", "}"):
                raise json.JSONDecodeError("expected , or }", text, at)
            yield Member(key, start, value_start, end, at)
            at += 1
            if text[at - 1] == "}":
                break
            start, at = at, _skip(text, at)
        else:
            raise NotAnObject("too many members", detail="too_many_values")
    if _skip(text, at) != len(text):
        raise json.JSONDecodeError("expected the end", text, at)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _expect(text: str, at: int, character: str) -> None:
    if text[at : at + 1] != character:
        raise json.JSONDecodeError(f"expected {character}", text, at)


def slices(body: bytes, *keys: str) -> dict[str, str]:
    """The JSON texts of the top-level members named (the last one of duplicates); raises NotAnObject."""
    text = text_of(body)
    return {found.key: text[found.value_start : found.value_end] for found in members(text) if found.key in keys}


def member(body: bytes, key: str) -> bytes | None:
    """The JSON text of one top-level member, None where it is missing; raises NotAnObject."""
    raw = slices(body, key).get(key)
    return None if raw is None else bytes_of(raw)


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
            return _rebuilt(value, list(members(value)), shown_credits)
        return value

    return bytes_of(_rebuilt(text, found, shown))


def with_members(body: bytes, values: Mapping[str, str]) -> bytes:
    """The body with other JSON texts for these top-level members, all else byte for byte; raises NotAnObject."""
    text = text_of(body)
    return bytes_of(_rebuilt(text, list(members(text)), lambda key, value: values.get(key, value)))


def _rebuilt(text: str, found: list[Member], shown: Callable[[str, str], str | None]) -> str:
    """The object with the values that `shown` gives for each key and value; None takes the member out."""
    if not found:
        return text
    kept = []
    for one in found:
        value = shown(one.key, text[one.value_start : one.value_end])
        if value is not None:
            kept.append(text[one.start : one.value_start] + value + text[one.value_end : one.end])
    return text[: found[0].start] + ",".join(kept) + text[found[-1].end :]


def upstream_id_of(raw: str | None) -> str | None:
    """The id in the JSON text of a `request_id`, or None where we could not ask for it by that: a secret of ours that was
    in it is gone, and with it the id."""
    value = string_of(raw)
    usable = value is not None and _UPSTREAM_ID.fullmatch(value) and value not in (".", "..") and MARK not in value
    return value if usable else None


def string_of(raw: str | None) -> str | None:
    """The string that a JSON text stands for, None for anything but a string."""
    if raw is None or not raw.startswith('"'):
        return None
    return str(_DECODER.decode(raw))


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
