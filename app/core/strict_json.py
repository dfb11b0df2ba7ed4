"""Parse untrusted JSON. Refuses JSON that two parsers could read differently, or that costs too much to parse."""

import codecs
import json
from typing import Any

from app.core.errors import Malformed

DEPTH_MAX = 64
VALUES_MAX = 100_000
DIGITS_MAX = 4_000
"""Digits of one integer."""
SHORT_DIGITS = 100
DIGITS_TOTAL_MAX = 100_000
"""Digits of all numbers of a body with more than SHORT_DIGITS digits."""


def without_bom(body: bytes) -> bytes:
    """Return the body without a byte order mark. Some editors and shells write one. JSON has none (RFC 8259, 8.1), and most
    parsers refuse it."""
    return body.removeprefix(codecs.BOM_UTF8)


class JsonInvalid(Malformed):
    """400: the body is not one JSON object that all parsers read alike."""

    code = "invalid_json"


def _no_constant(name: str) -> Any:
    raise JsonInvalid(f"{name} is not JSON")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twin = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonInvalid(f"duplicate member {twin[:100]!r}")
    return members


LONG_DIGITS = 18
"""Every integer of up to 18 digits fits into 64 bits. Longer integers are examined one by one."""
LOOKED_AT_MAX = 1e308


class _LongNumbers:
    """Parses the numbers of a body that has long numbers, and counts their digits.

    The time must grow linearly with the length. So an integer beyond 64 bits becomes the nearest double, which is enough for
    a schema's check. The body itself keeps the exact digits.
    """

    def __init__(self) -> None:
        self._digits = 0

    def read_int(self, text: str) -> int | float:
        if len(text) <= LONG_DIGITS:
            return int(text)
        if len(text) > DIGITS_MAX:
            raise JsonInvalid(f"a number of more than {DIGITS_MAX} digits; send it as a string")
        self._count(text)
        if len(text) <= LONG_DIGITS + 3:
            value = int(text)
            if -(2**63) <= value < 2**64:
                return value
        return max(-LOOKED_AT_MAX, min(LOOKED_AT_MAX, float(text)))

    def read_float(self, text: str) -> float:
        self._count(text)
        return float(text)

    def _count(self, text: str) -> None:
        if len(text) > SHORT_DIGITS:
            self._digits += len(text)
            if self._digits > DIGITS_TOTAL_MAX:
                raise JsonInvalid(
                    f"numbers of more than {SHORT_DIGITS} digits have more than {DIGITS_TOTAL_MAX} digits together;"
                    ' send them as strings, such as "12345"'
                )


_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_no_twins)
_DIGITS_AS_ZERO = bytes(
    0x30 if chr(code) in "0123456789" else 0x2E if chr(code) == "." else 0x20 for code in range(256)
)
_LONG_INTEGER = b" " + b"0" * (LONG_DIGITS + 1)
_LONG_FRACTION = b"0" * 40
"""Every number of more than SHORT_DIGITS has this, or a long integer before the point or in its exponent."""


def _has_long_numbers(body: bytes) -> bool:
    """Return whether an integer may have more than LONG_DIGITS digits, or a number more than SHORT_DIGITS. Digits in texts
    count, too.

    The decoder that examines each number is six times slower, and many floats have 18 digits after the point.
    """
    if len(body) <= LONG_DIGITS:
        return False
    shape = body.translate(_DIGITS_AS_ZERO)
    return _LONG_INTEGER in shape or _LONG_FRACTION in shape


def _decoder_for(body: bytes) -> json.JSONDecoder:
    if not _has_long_numbers(body):
        return _DECODER
    numbers = _LongNumbers()
    return json.JSONDecoder(
        parse_constant=_no_constant,
        object_pairs_hook=_no_twins,
        parse_int=numbers.read_int,
        parse_float=numbers.read_float,
    )


def parse_object(body: bytes, what: str = "the body") -> dict[str, Any]:
    """Parse a body that is a JSON object. Raises JsonInvalid, whose message calls the body `what`.

    The numbers are only for checks: floats, and integers beyond 64 bits, are doubles.
    """
    try:
        text = body.decode()
        if body.count(b",") + body.count(b"[") + body.count(b"{") > VALUES_MAX:
            raise JsonInvalid(f"more than {VALUES_MAX} values")
        value = _decoder_for(body).decode(text)
    except UnicodeDecodeError:
        raise JsonInvalid(f"{what} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise JsonInvalid(f"{what} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise JsonInvalid(f"nested more than {DEPTH_MAX} deep") from None
    if not isinstance(value, dict):
        raise JsonInvalid(f"{what} must be a JSON object")
    if text.count("[") + text.count("{") > DEPTH_MAX:
        _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise JsonInvalid(f"nested more than {DEPTH_MAX} deep")


EXPONENT_DIGITS_MAX = 18
EXACT_MAX = 1e15
"""Doubles hold every whole number below this exactly. A client may write such a number with or without a fraction."""


def _digits(number: str) -> tuple[str, str, int] | str:
    """Return sign, digits and exponent, which are the same for every spelling of a value. Returns the text itself if the
    exponent is too long, or if it is not a number (`inf`)."""
    mantissa, _, exponent = number.replace("E", "e").partition("e")
    if len(exponent.lstrip("+-")) > EXPONENT_DIGITS_MAX or number.endswith("f"):
        return number
    whole, _, fraction = mantissa.partition(".")
    sign = ""
    if whole[0] == "-":
        sign, whole = "-", whole[1:]
    digits = (whole + fraction).rstrip("0")
    dropped = len(whole) + len(fraction) - len(digits)
    digits = digits.lstrip("0")
    return (sign, digits, int(exponent or 0) - len(fraction) + dropped) if digits else ("", "", 0)


def _exact(number: str) -> float | int | str:
    """Return the number if a double holds it exactly, else a text that no other number has."""
    value = float(number)
    # a double holds any 15 digits, and any number that equals the double's own repr
    if (len(number) > FITTING or "e" in number or "E" in number) and number != repr(value):
        digits = _digits(number)
        if digits != _digits(repr(value)):
            return f"\0{digits}"
    return int(value) if value.is_integer() and abs(value) < EXACT_MAX else value


FITTING = 16
"""Characters: 15 digits and a point."""
EXACT_DIGITS = 400
"""Longer integers stay texts: the time of a conversion to a number and back grows with the square of the length."""


def _exact_int(digits: str) -> int | str:
    return int(digits) if len(digits) <= EXACT_DIGITS else f"\0{digits}"


_EXACT = json.JSONDecoder(parse_float=_exact)
_EXACT_LONG = json.JSONDecoder(parse_float=_exact, parse_int=_exact_int)


def canonical(model: str, body: bytes) -> bytes:
    """Return equal bytes for equal requests: keys sorted, no spaces, ASCII, 1.0 as 1. `body` has passed `parse_object`.

    Different numbers stay different, also if they are equal as doubles.
    """
    decoder = _EXACT_LONG if _has_long_numbers(body) else _EXACT
    value = {"model": model, "input": decoder.decode(body.decode())}
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
