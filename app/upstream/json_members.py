"""Finds the members of a JSON object in its text, so that one can be replaced and every other byte stays.

Bytes are decoded as UTF-8 with `surrogateescape`: invalid UTF-8 stays unchanged.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from app.upstream.scan import TooDeep, TooManyValues, value_end

BUILT_CHARACTERS_MAX: Final = 64 * 1024
"""The values of a smaller text are parsed and discarded. That is faster than skipping them, and takes at most 6 MB."""

MEMBERS_MAX: Final = 10_000
"""The most members at the top level. Each costs a few microseconds."""


class NotAnObject(ValueError):
    """The bytes are no JSON object, or it is too deep or too large to read. detail: a short constant."""

    def __init__(self, message: str, *, detail: str = "not_an_object") -> None:
        super().__init__(message)
        self.detail = detail


class Member(NamedTuple):
    """One member of an object: its key and its position, in characters.

    `start` to `end` is everything between the brackets or commas around it; `value_start` to `value_end` is its value.
    """

    key: str
    start: int
    value_start: int
    value_end: int
    end: int


_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
_SPACE: Final = re.compile(r"[ \t\n\r]*")


def text_of(body: bytes) -> str:
    """Decode the body. `bytes_of` reverses it."""
    return body.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """Encode a slice of `text_of`."""
    return text.encode("utf-8", "surrogateescape")


def members(text: str) -> Iterator[Member]:
    """Yield the top-level members in order, with duplicates. Raises NotAnObject where the text stops being an object."""
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
    """Return the JSON texts of the named top-level members (the last of duplicates). Raises NotAnObject."""
    text = text_of(body)
    return {found.key: text[found.value_start : found.value_end] for found in members(text) if found.key in keys}


def member(body: bytes, key: str) -> bytes | None:
    """Return the JSON text of one top-level member, or None if it is missing. Raises NotAnObject."""
    raw = slices(body, key).get(key)
    return None if raw is None else bytes_of(raw)


def with_members(body: bytes, values: Mapping[str, str]) -> bytes:
    """Replace the JSON texts of these top-level members; all else stays byte for byte. Raises NotAnObject."""
    text = text_of(body)
    return bytes_of(rebuilt(text, list(members(text)), lambda key, value: values.get(key, value)))


def rebuilt(text: str, found: list[Member], shown: Callable[[str, str], str | None]) -> str:
    """Return the object with the values that `shown` returns for each key and value. None removes the member."""
    if not found:
        return text
    kept = []
    for one in found:
        value = shown(one.key, text[one.value_start : one.value_end])
        if value is not None:
            kept.append(text[one.start : one.value_start] + value + text[one.value_end : one.end])
    return text[: found[0].start] + ",".join(kept) + text[found[-1].end :]


def string_of(raw: str | None) -> str | None:
    """Return the string that a JSON text means, or None if it is not a string."""
    if raw is None or not raw.startswith('"'):
        return None
    return str(_DECODER.decode(raw))
