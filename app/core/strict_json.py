"""JSON from strangers: refused where two readers could understand it differently, or where it is a bomb."""

import json
import re
from typing import Any

from app.core.errors import Malformed

DEPTH_MAX = 64
VALUES_MAX = 100_000
DIGITS_MAX = 4_000


class JsonInvalid(Malformed):
    """400: the body is not one JSON object that everybody reads alike."""

    code = "invalid_json"


def _no_constant(name: str) -> Any:
    raise JsonInvalid(f"{name} is not JSON")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twin = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonInvalid(f"member {twin[:100]!r} is there twice")
    return members


def _int(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise JsonInvalid(f"a number of more than {DIGITS_MAX} digits")
    return int(digits)


_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_no_twins, parse_int=_int)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; raises JsonInvalid. Big integers are exact; floats are only to be looked at."""
    try:
        text = body.decode("utf-8-sig")
        if text.count(",") + text.count("[") + text.count("{") > VALUES_MAX:
            raise JsonInvalid(f"more than {VALUES_MAX} values")
        value = _DECODER.decode(text)
    except UnicodeDecodeError:
        raise JsonInvalid("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise JsonInvalid(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise JsonInvalid(f"nested more than {DEPTH_MAX} deep") from None
    if not isinstance(value, dict):
        raise JsonInvalid("the body must be a JSON object")
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


_FLOAT = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,18}))?")
EXACT_MAX = 1e15
"""Below this every whole number is a double, and any client may have written it with or without its fraction."""


def _digits(number: str) -> tuple[str, str, int] | str:
    """Sign, digits and exponent, the same for every spelling of a value; the text itself where the exponent is absurd."""
    found = _FLOAT.fullmatch(number)
    if found is None:
        return number
    sign, whole, fraction, exponent = found.groups(default="")
    digits = (whole + fraction).rstrip("0")
    dropped = len(whole) + len(fraction) - len(digits)
    digits = digits.lstrip("0")
    return (sign, digits, int(exponent or 0) - len(fraction) + dropped) if digits else ("", "", 0)


def _exact(number: str) -> float | int | str:
    """A double where it holds the number as written, else a text that two different numbers never share."""
    value = float(number)
    digits = _digits(number)
    if digits != _digits(repr(value)):
        return f"\0{digits}"
    return int(value) if value.is_integer() and abs(value) < EXACT_MAX else value


_EXACT = json.JSONDecoder(parse_float=_exact)


def canonical(model: str, body: bytes) -> bytes:
    """One spelling for equal requests: keys sorted, no spaces, ASCII, 1.0 as 1. `body` has passed `parse_object`.

    Numbers are told apart as written, also where a double could not.
    """
    value = {"model": model, "input": _EXACT.decode(body.decode("utf-8-sig"))}
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
