"""Pure functions: what an answer looks like, without what it says."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from app.probe.models import POLLS_MIN
from app.upstream.wire import UpstreamState

Shape = dict[str, "Shape"] | list["Shape"] | str
"""Of an object: the shape of each member. Of a list: that of its first item. Of anything else: its type, or a known word."""

WORDS: Final = frozenset({*map(str, UpstreamState), "PENDING"})
DEPTH_MAX: Final = 4
MEMBERS_MAX: Final = 40
NAME_CHARACTERS_MAX: Final = 60
HEADER_CHARACTERS_MAX: Final = 80

_ROWS: Final = ("data", "items", "results", "rows")
_LIMIT: Final = re.compile(r"rate-?limit|rate_limit|retry-after|throttl|quota", re.IGNORECASE)
_MONEY: Final = re.compile(r"credit|cost|balance|spend|price", re.IGNORECASE)
_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


def shape_of(value: Any, *, deep: int = 0) -> Shape:
    """Return the shape of a JSON value. It has names of members, and no value but a known word for a state."""
    if isinstance(value, str):
        return value if value in WORDS else f"text({len(value)})"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float | Decimal):
        return "number"
    if value is None:
        return "null"
    if deep >= DEPTH_MAX:
        return "object" if isinstance(value, dict) else "list"
    if isinstance(value, dict):
        kept = list(value.items())[:MEMBERS_MAX]
        return {name[:NAME_CHARACTERS_MAX]: shape_of(one, deep=deep + 1) for name, one in kept}
    return [shape_of(one, deep=deep + 1) for one in value[:1]]


def show_shape(shape: Shape) -> str:
    """Return the shape as one line: `{"status": "QUEUED", "metrics": {}}` without the quotes."""
    return json.dumps(shape, ensure_ascii=False).replace('"', "")


def split_page(answer: Any) -> tuple[list[Any], list[str]]:
    """Return the rows in a page of the history, and the names of all that it has beside them: `total`, `meta.page`."""
    if isinstance(answer, list):
        return answer, []
    if not isinstance(answer, dict):
        return [], []
    name = next((one for one in _ROWS if isinstance(answer.get(one), list | dict)), None)
    rows, beside = split_page(answer[name]) if name is not None else ([], [])
    names = [f"{name}.{one}" for one in beside]
    for other, value in answer.items():
        if other != name:
            names += [f"{other}.{inner}" for inner in value] if isinstance(value, dict) else [other]
    return rows, [one[:NAME_CHARACTERS_MAX] for one in names[:MEMBERS_MAX]]


def instant_form(value: Any) -> str | None:
    """Return how an instant is written, each digit as 9: `9999-99-99T99:99:99.999Z`; None if there is none."""
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    form = re.sub(r"\d", "9", str(value)[:NAME_CHARACTERS_MAX])
    return form if isinstance(value, str) else f"number {form}"


def body_form(value: Any) -> str:
    """Return whether the body in a row is an `object`, a `string` or `none`."""
    return "object" if isinstance(value, dict) else "string" if isinstance(value, str) else "none"


def limit_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers about limits of requests. Those about money are left out."""
    return {
        name: value[:HEADER_CHARACTERS_MAX]
        for name, value in headers.items()
        if _LIMIT.search(name) and not _MONEY.search(name)
    }


def remaining(headers: Mapping[str, str]) -> int | None:
    """Return how many requests are left by the headers about limits, or None if they do not say so."""
    told = (value.strip() for name, value in limit_headers(headers).items() if "remaining" in name)
    return next((int(value) for value in told if value.isascii() and value.isdigit() and len(value) < 10), None)


def polls_are_counted(left: list[int]) -> bool | None:
    """Return whether polls count towards the limit, by what was left after each; None if that does not tell.

    Others may use the key at the same time: then less is left, too.
    """
    if len(left) < POLLS_MIN:
        return None
    steps = [before - after for before, after in pairwise(left)]
    if all(step > 0 for step in steps):
        return True
    return False if all(step == 0 for step in steps) else None


def without_urls(text: str) -> str:
    """Return the text with each URL replaced: it may have a token in it."""
    return _URL.sub("(URL)", text)
