"""JSON as text: its canonical form, the raw text of one member, numbers in quotes. Numbers keep all their digits."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Never

_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][-+.0-9eE]*', re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)


class MalformedJsonError(ValueError):
    """The bytes are not a JSON object."""


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is not JSON")


def _int(text: str) -> str:
    return "\x00i" + text


def _float(text: str) -> str:
    """One spelling for each value: sign, digits without trailing zeros, exponent. Unchanged if Decimal cannot hold it."""
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:
        return "\x00f" + text
    if not isinstance(exponent, int):
        return "\x00f" + text
    whole = "".join(map(str, digits)).rstrip("0")
    exponent = exponent + len(digits) - len(whole) if whole else 0
    return f"\x00f{'-' * sign}{whole.lstrip('0')}e{exponent}"


_decoder = json.JSONDecoder(parse_int=_int, parse_float=_float, parse_constant=_refuse)
_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def canonical(body: bytes) -> bytes:
    """Return the object with sorted keys, no white space and one spelling of each number. Raises MalformedJsonError.

    Only for comparison, not for sending: numbers are tagged strings, so that 1, 1.0 and "1" stay different.
    """
    try:
        value = _decoder.decode(body.decode())
    except RecursionError:
        return body
    except ValueError as error:
        raise MalformedJsonError(str(error)) from error
    if not isinstance(value, dict):
        raise MalformedJsonError("expected a JSON object")
    try:
        return _encoder.encode(value).encode()
    except RecursionError:
        return body


def plain(body: bytes) -> dict[str, Any]:
    """The object as Python values, for reading parameters; {} if its numbers or depth exceed Python's limits."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def find_raw_member(body: bytes, name: bytes) -> bytes | None:
    """The exact bytes of the top-level member `name` of a valid JSON object, or None if it is missing."""
    wanted = b'"' + name + b'"'
    depth = 0
    previous, key = b"", b""
    found: tuple[int, int] | None = None
    begin = -1
    for token in _TOKEN.finditer(body):
        text = token.group()
        if depth == 1 and text == b":" and begin < 0:
            key, begin = previous, token.end()
        elif depth == 1 and text in (b",", b"}"):
            if key == wanted and begin >= 0:
                found = (begin, token.start())
            begin = -1
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
        previous = text
    return body[found[0] : found[1]].strip() if found else None


def quote_numbers(text: bytes) -> bytes:
    """The same JSON with each number as a string, at any depth."""
    return _NUMBER.sub(lambda found: found[0] if found[0].startswith(b'"') else b'"%b"' % found[0], text)
