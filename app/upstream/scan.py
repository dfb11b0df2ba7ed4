"""Finds where a JSON value ends, without building it. Memory grows only with its depth, time with its length.

One regular expression of bounded length matches runs of values without deep nesting, so another thread waits for a
few milliseconds at most. It accepts the same JSON as `json.JSONDecoder(strict=False)`.
"""

import json
import re
from typing import Final

DEPTH_MAX: Final = 1_000
STEPS_MAX: Final = 1_000_000
"""The most steps: containers of containers, long strings and runs. Each costs about a microsecond."""

RUN_VALUES: Final = 256
FLAT_VALUES: Final = 16
STRING_CHARACTERS: Final = 255
DIGITS: Final = 40
"""Longer values are no part of a run, because a run that fails reads its last value again."""

_SPACE: Final = r"[ \t\n\r]*"
_STRING: Final = (
    rf'"[^"\\]{{0,{STRING_CHARACTERS}}}'
    rf'(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{{4}})[^"\\]{{0,{STRING_CHARACTERS}}}){{0,{FLAT_VALUES}}}"'
)
_WORDS: Final = "true|false|null|NaN|-?Infinity"


def _number(most: str) -> str:
    return rf"-?(?:0|[1-9][0-9]{{0,{most}}})(?:\.[0-9]{{1,{most}}})?(?:[eE][+-]?[0-9]{{1,{most}}})?"


_SCALAR: Final = f"(?:{_STRING}|{_number(str(DIGITS))}|{_WORDS})"
_KEY: Final = f"{_STRING}{_SPACE}:{_SPACE}"


def _container(begin: str, item: str, end: str) -> str:
    more = f"(?:,{_SPACE}{item}{_SPACE}){{0,{FLAT_VALUES}}}"
    return rf"\{begin}{_SPACE}(?:{item}{_SPACE}{more})?\{end}"


_FLAT: Final = f"(?:{_SCALAR}|{_container('[', _SCALAR, ']')}|{_container('{', _KEY + _SCALAR, '}')})"
_RUNS: Final = {
    "[": re.compile(f"(?:{_SPACE}{_FLAT}{_SPACE},){{0,{RUN_VALUES}}}{_SPACE}"),
    "{": re.compile(f"(?:{_SPACE}{_KEY}{_FLAT}{_SPACE},){{0,{RUN_VALUES}}}{_SPACE}"),
}
"""Values with another value after them."""
_ENDS: Final = {"[": "]", "{": "}"}
_BLANK: Final = re.compile(_SPACE)
_STRINGS: Final = json.JSONDecoder(strict=False)
_SCALARS: Final = re.compile(f"{_number('')}|{_WORDS}")


class TooDeep(ValueError):
    """The value is nested more than DEPTH_MAX deep."""


class TooManyValues(ValueError):
    """The value takes more than STEPS_MAX steps."""


def value_end(text: str, at: int) -> int:
    """Return where the value that begins at `at` ends. Raises json.JSONDecodeError, TooDeep, TooManyValues."""
    open_: list[str] = []
    for _ in range(STEPS_MAX):
        first = text[at : at + 1]
        if first in _ENDS:
            open_.append(first)
            if len(open_) > DEPTH_MAX:
                raise TooDeep
            at = _blank_end(text, at + 1)
            if text[at : at + 1] != _ENDS[first]:
                at = _next_value(text, at, first)
                continue
        else:
            at = _string_end(text, at) if first == '"' else _scalar_end(text, at)
        while open_:
            at = _blank_end(text, at)
            if text[at : at + 1] != _ENDS[open_[-1]]:
                break
            open_.pop()
            at += 1
        if not open_:
            return at
        if text[at : at + 1] != ",":
            raise json.JSONDecodeError("expected , or the end of a list or an object", text, at)
        at = _next_value(text, at + 1, open_[-1])
    raise TooManyValues


def _next_value(text: str, at: int, container: str) -> int:
    """Return where the next value begins after a run of plain ones. For a member: after its key."""
    found = _RUNS[container].match(text, at)
    assert found is not None, "a run may be empty"
    at = found.end()
    if container == "[":
        return at
    if text[at : at + 1] != '"':
        raise json.JSONDecodeError("expected a key", text, at)
    at = _blank_end(text, _string_end(text, at))
    if text[at : at + 1] != ":":
        raise json.JSONDecodeError("expected :", text, at)
    return _blank_end(text, at + 1)


def _blank_end(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _string_end(text: str, at: int) -> int:
    return _STRINGS.raw_decode(text, at)[1]


def _scalar_end(text: str, at: int) -> int:
    found = _SCALARS.match(text, at)
    if found is None:
        raise json.JSONDecodeError("expected a value", text, at)
    return found.end()
