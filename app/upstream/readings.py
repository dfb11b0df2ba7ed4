"""Reads what the upstream stores about us (history, credits): one JSON answer, or the reason why there is none."""

import json
from decimal import Decimal
from typing import Any, Final

from app.core.logs.redaction import redacted_body
from app.http_client.caller import Caller
from app.upstream.wire import micro_of

RETRY_AFTER_SECONDS_MAX: Final = 60.0
VALUES_MAX: Final = 1_000_000
"""A body with more commas and brackets than this is refused: parsing it would take about 100 MB."""

INT_DIGITS_MAX: Final = 4_000
"""Python refuses longer ones."""


class NotRead(Exception):
    """The requested data could not be read. detail: a short constant: `http_503`, `connect_refused`, `malformed`.

    transient: a retry may help, after `retry_after_seconds` if the upstream said so.
    answered: a complete HTTP answer came that is no 5xx. So the upstream is available.
    """

    def __init__(
        self, detail: str, *, transient: bool, retry_after_seconds: float | None = None, answered: bool = True
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.transient = transient
        self.answered = answered
        self.retry_after_seconds = retry_after_seconds


async def get_json(caller: Caller, target: str) -> Any | None:
    """Return the answer to a GET, numbers as int or Decimal, or None if it is 404. Raises NotRead."""
    called = await caller.call("GET", target)
    status_code = called.status_code
    if called.failure is not None or status_code is None:
        failure = called.failure or "no_answer"
        too_large = failure == "body_too_large"
        raise NotRead(failure, transient=not too_large, answered=too_large and (status_code or 500) < 500)
    if status_code == 404:
        return None
    if not 200 <= status_code < 300:
        raise NotRead(
            f"http_{status_code}",
            transient=status_code in (408, 425, 429) or status_code >= 500,
            retry_after_seconds=_retry_after(called.header(b"retry-after")),
            answered=status_code < 500,
        )
    return parse(await redacted_body(called.body))


def parse(body: bytes) -> Any:
    """Parse JSON, with numbers as int or Decimal, and None for NaN and Infinity. Raises NotRead."""
    try:
        text = body.decode("utf-8-sig", "replace")
        if text.count(",") + text.count("[") + text.count("{") > VALUES_MAX:
            raise NotRead("too_many_values", transient=False)
        return loads(text)
    except (ValueError, RecursionError):
        raise NotRead("malformed", transient=True) from None


def loads(text: str | bytes) -> Any:
    """Parse JSON with numbers as int or Decimal, None for NaN and Infinity, and as text those that neither can be: one number of
    somebody's parameters must not make a whole page unreadable. Raises ValueError, RecursionError."""
    return json.loads(text, parse_int=_int_of, parse_float=_decimal_of, parse_constant=lambda _: None, strict=False)


def _int_of(text: str) -> int | str:
    return int(text) if len(text) <= INT_DIGITS_MAX else text


def _decimal_of(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except ArithmeticError:
        return text


def micro(value: object) -> int | None:
    """Convert credits that `parse` has read (a number, or a string with one) to micro-credits; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    text = str(value)
    return micro_of(text) if len(text) <= 64 else None


def _retry_after(value: str | None) -> float | None:
    text = (value or "").strip()
    return min(float(text), RETRY_AFTER_SECONDS_MAX) if text.isascii() and text.isdigit() else None
