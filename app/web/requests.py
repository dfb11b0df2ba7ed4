"""Validate what a client sends, with limits. A refusal names the field."""

import re
from datetime import datetime
from typing import Any

import orjson
from starlette.datastructures import Headers

from app.core.clock import parse_instant
from app.core.credits import parse_credits
from app.core.errors import Malformed, Problem, Refusal, malformed_at
from app.web.deadlines import BODY_SECONDS, BYTES_A_SECOND_MIN

BODY_BYTES_MAX = 10 * 1024 * 1024
CUT = "waystation.cut"
"""Key in a request scope's `state`, which copies of the scope share: the Refusal for which its body was cut off."""
WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
METADATA_BYTES_MAX = 14 * 1024
"""Of its JSON in a webhook, so that it fits into 20,000 bytes with the rest of a job."""
METADATA_MEMBERS_MAX = 50
DEADLINE_SECONDS_MAX = 30 * 86_400


class BodyTooLarge(Refusal):
    """413: the body is larger than allowed."""

    status = 413
    code = "body_too_large"

    def __init__(self, bytes_max: int = BODY_BYTES_MAX) -> None:
        super().__init__(f"the request body is larger than {bytes_max} bytes")


class BodyTooSlow(Refusal):
    """408: the body did not arrive in time."""

    status = 408
    code = "body_too_slow"

    def __init__(self) -> None:
        super().__init__(
            f"the request body arrived too slowly: expected at least {BYTES_A_SECOND_MIN} bytes a second, and all of it within"
            f" {BODY_SECONDS:g} s"
        )


class MediaTypeUnsupported(Refusal):
    """415: not JSON, or compressed."""

    status = 415
    code = "unsupported_media_type"


def problem(path: str, expected: str) -> Problem:
    """Make a fault. Names in `path` are the client's and may hold lone surrogates, which have no UTF-8."""
    return Problem(path.encode("utf-8", "replace").decode(), expected)


def malformed(path: str, expected: str) -> Malformed:
    """Make a 400 that names one field."""
    return malformed_at(problem(path, expected))


def plain_seconds(text: str) -> float | None:
    """Parse whole or fractional seconds in plain digits. Returns None for other text."""
    return float(text) if SECONDS.fullmatch(text) else None


def whole_number(text: str) -> int | None:
    """Parse up to nine ASCII digits. Returns None for other text."""
    return int(text) if WHOLE_NUMBER.fullmatch(text) else None


def check_media_type(headers: Headers) -> None:
    """Raise MediaTypeUnsupported for a body that is not plain JSON."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise MediaTypeUnsupported("header Content-Type: expected application/json")
    codings = ",".join(headers.getlist("content-encoding")).lower().split(",")
    if any(coding.strip() not in ("", "identity") for coding in codings):
        raise MediaTypeUnsupported("header Content-Encoding: a request's body must not be compressed")


def checked_length(headers: Headers) -> int:
    """Return the Content-Length of a JSON request, or 0 without one. Raises MediaTypeUnsupported, BodyTooLarge."""
    check_media_type(headers)
    length = whole_number(headers.get("content-length", "0"))
    if length is None or length > BODY_BYTES_MAX:
        raise BodyTooLarge
    return length


def single_header(headers: Headers, name: str) -> str | None:
    """Return the value of a header, or None. Raises Malformed if it was sent more than once."""
    values = headers.getlist(name)
    if len(values) > 1:
        raise malformed(f"header {name}", f"expected once, found {len(values)} times")
    return values[0] if values else None


def idempotency_key(headers: Headers) -> str | None:
    """Return the `Idempotency-Key` (1 to 255 printable ASCII characters), or None. Raises Malformed."""
    key = single_header(headers, "Idempotency-Key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise malformed("header Idempotency-Key", "expected 1 to 255 printable ASCII characters without spaces")
    return key


def checked_wait(text: str, *, where: str, wait_seconds_max: float) -> float:
    """Parse whole or fractional seconds. More than `wait_seconds_max` becomes `wait_seconds_max`. Raises Malformed."""
    seconds = plain_seconds(text)
    if seconds is None:
        raise malformed(where, f"expected seconds from 0 to {wait_seconds_max:g}")
    return min(seconds, wait_seconds_max)


def checked_metadata(value: Any, where: str) -> dict[str, object]:
    """Check a flat JSON object of at most 50 members with string, number, boolean or null values, and METADATA_BYTES_MAX in
    all. Raises Malformed."""
    if not isinstance(value, dict):
        raise malformed(where, 'expected a JSON object, such as {"team": "a"}')
    if len(value) > METADATA_MEMBERS_MAX:
        raise malformed(where, f"expected at most {METADATA_MEMBERS_MAX} members, found {len(value)}")
    faults = [fault for key, member in value.items() if (fault := _metadata_fault(key, member, where))]
    if faults:
        raise malformed_at(*faults)
    try:
        size = len(orjson.dumps(value))
    except TypeError:
        raise malformed(where, "expected text without lone surrogates (not valid in UTF-8)") from None
    if size > METADATA_BYTES_MAX:
        raise malformed(
            where,
            f"expected at most {METADATA_BYTES_MAX} bytes of JSON in UTF-8, with escapes (a quote is 2 bytes, a control"
            f" character 6), found {size}",
        )
    return value


def _metadata_fault(key: str, member: object, where: str) -> Problem | None:
    if isinstance(member, dict | list):
        return problem(f"{where}.{key[:100]}", 'expected a string, number, boolean or null, such as "a"')
    if isinstance(member, int | float) and not -(2**53) <= member <= 2**53:
        return problem(f"{where}.{key[:100]}", 'expected a number within ±2^53; send others as strings, such as "1e20"')
    if "\0" in key or (isinstance(member, str) and "\0" in member):
        return problem(f"{where}.{key[:100]}", "expected text without the NUL character")
    return None


def checked_amount(value: object, where: str) -> int:
    """Parse credits. Returns micro-credits. Raises Malformed."""
    try:
        return parse_credits(value)
    except ValueError as error:
        raise malformed(where, str(error)) from None


def checked_priority(value: Any, where: str) -> int:
    """Check a priority, 0 to 9. Raises Malformed."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 9:
        raise malformed(where, "expected an integer from 0 to 9")
    return value


def checked_deadline(value: Any, where: str) -> float:
    """Check seconds from now, above 0 and at most 30 days. Raises Malformed."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= DEADLINE_SECONDS_MAX:
        raise malformed(where, f"expected seconds above 0 and at most {DEADLINE_SECONDS_MAX}, such as 3600")
    return float(value)


def checked_text(value: str, where: str) -> str:
    """Check that Postgres can store a text. Raises Malformed."""
    if "\0" in value:
        raise malformed(where, "expected text without the NUL character")
    return value


def checked_instant(value: Any, where: str) -> datetime:
    """Parse an RFC 3339 instant with an offset. Raises Malformed."""
    try:
        return parse_instant(value)
    except (TypeError, ValueError):
        raise malformed(where, "expected an RFC 3339 instant with an offset, such as 2026-01-31T12:00:00Z") from None
