"""Reads a CSV of models, all or nothing. Every fault has its line, its column and what was expected."""

import csv
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from io import StringIO
from typing import Any, NamedTuple

from app.catalog.check import is_slug
from app.catalog.decide import parse_markup, usual_price
from app.catalog.models import PriceRule
from app.core.credits import AMOUNT_MAX, MICRO, parse_credits
from app.core.errors import Malformed, Problem

FAULTS_SHOWN = 20
LINES_MAX = 100_000
TEXT_MAX = 200
RUN_SECONDS_MAX = 86_400 * 30

NAMES = {
    "slug": ("slug", "model", "model_slug", "model_id", "id"),
    "title": ("title", "name", "display_name"),
    "modality": ("modality", "type", "category", "kind"),
    "run_seconds": (
        "run_seconds", "mean_run_seconds", "avg_run_seconds", "average_run_seconds", "mean_run_time", "avg_run_time",
        "run_time", "runtime", "mean_seconds", "seconds", "latency", "mean_latency", "run_time_seconds",
    ),
    "cost": (
        "cost", "mean_cost", "mean_cost_usd", "cost_usd", "avg_cost", "avg_cost_usd", "average_cost", "mean_cost_credits",
        "cost_credits",
    ),
    "price": ("price", "price_credits", "price_usd"),
    "price_rule": ("price_rule", "rule", "pricing"),
    "markup": ("markup", "mark_up"),
    "enabled": ("enabled", "active"),
}  # fmt: skip
"""The accepted names of each column, in lower case with underscores between words."""

COLUMN = {name: column for column, names in NAMES.items() for name in names}


class ImportInvalid(Malformed):
    """400: nothing was imported. Every fault has its line and column."""

    code = "invalid_import"


class ModelLine(NamedTuple):
    """A model in a file. None: the file does not say."""

    slug: str
    title: str | None = None
    modality: str | None = None
    run_seconds: float | None = None
    cost_micro: int | None = None
    price_micro: int | None = None
    price_rule: PriceRule | None = None
    markup_micro: int | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The models of a file, and the heads of its unknown columns."""

    lines: list[ModelLine]
    ignored: list[str]


def read_models(data: bytes) -> ModelFile:
    """Read the models of a CSV (comma, semicolon or tab; UTF-8). Raises ImportInvalid with all its faults.

    A model without a price gets the usual one for its cost.
    """
    text = _text(data)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    faults: list[Problem] = []
    lines: list[ModelLine] = []
    try:
        heads = next(reader, [])
        places = _places(heads)
        seen: dict[str, int] = {}
        for cells in reader:
            if len(lines) > LINES_MAX:
                raise ImportInvalid(f"more than {LINES_MAX} models")
            if any(cell.strip() for cell in cells):
                _take(cells, heads, places, reader.line_num, lines, faults, seen)
    except csv.Error as error:
        faults.append(Problem(f"line {reader.line_num}", f"expected CSV: {error}"))
    if not lines and not faults:
        faults.append(Problem("line 2", "expected at least one model"))
    if faults:
        raise _invalid(faults)
    return ModelFile(lines, [head.strip() for at, head in enumerate(heads) if at not in places and head.strip()])


def _take(
    cells: list[str],
    heads: list[str],
    places: dict[int, str],
    number: int,
    lines: list[ModelLine],
    faults: list[Problem],
    seen: dict[str, int],
) -> None:
    """Add one line of the file to `lines` or `faults`."""
    if len(cells) != len(heads):
        faults.append(Problem(f"line {number}", f"expected {len(heads)} columns, found {len(cells)}"))
        return
    found: dict[str, Any] = {}
    sound = True
    for at, column in places.items():
        try:
            found[column] = _READ[column](cells[at].strip())
        except ValueError as error:
            sound = False
            faults.append(Problem(f"line {number}, column {heads[at].strip()}", str(error)))
    slug = found.get("slug", "")
    if slug in seen:
        faults.append(Problem(f"line {number}, column {_head(heads, places)}", f"duplicate of line {seen[slug]}"))
    elif sound:
        seen[slug] = number
        lines.append(_line(found))


def _line(found: dict[str, Any]) -> ModelLine:
    cost = found.pop("cost", None)
    price = found.pop("price", None)
    if price is None and cost is not None:
        price = usual_price(cost)
    return ModelLine(cost_micro=cost, price_micro=price, markup_micro=found.pop("markup", None), **found)


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise _invalid([Problem(f"line {number}", "expected UTF-8")]) from None
    if "\0" in text:
        raise _invalid(
            [
                Problem(
                    f"line {text[: text.index(chr(0))].count(chr(10)) + 1}", "expected text without the NUL character"
                )
            ]
        )
    return text


def _places(heads: list[str]) -> dict[int, str]:
    """The positions of the known columns. Raises ImportInvalid if slug is missing or a column occurs twice."""
    places: dict[int, str] = {}
    for at, head in enumerate(heads):
        column = COLUMN.get(re.sub(r"[^a-z0-9]+", "_", head.strip().lower()).strip("_"))
        if column is None:
            continue
        if column in places.values():
            raise _invalid([Problem(f"line 1, column {head.strip()}", f"a second column for {column}")])
        places[at] = column
    if "slug" not in places.values():
        raise _invalid([Problem("line 1", f"expected a column called {' or '.join(NAMES['slug'][:2])}")])
    return places


def _head(heads: list[str], places: dict[int, str]) -> str:
    return next(heads[at].strip() for at, column in places.items() if column == "slug")


def _invalid(faults: list[Problem]) -> ImportInvalid:
    shown = "; ".join(f"{fault.path}: {fault.message}" for fault in faults[:FAULTS_SHOWN])
    more = f"; and {len(faults) - FAULTS_SHOWN} more" if len(faults) > FAULTS_SHOWN else ""
    return ImportInvalid(f"nothing imported: {shown}{more}", problems=faults)


def _slug(text: str) -> str:
    if not is_slug(text):
        raise ValueError("expected a slug: letters, digits, `.`, `_` and `-`, a letter or digit first, at most 128")
    return text


def _words(text: str) -> str | None:
    if len(text) > TEXT_MAX or not text.isprintable():
        raise ValueError(f"expected at most {TEXT_MAX} characters, all printable")
    return text or None


def _seconds(text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= RUN_SECONDS_MAX:
        raise ValueError("expected seconds above 0, or nothing")
    return seconds


def _cost(text: str) -> int | None:
    """Round up to a micro-credit, because a mean may have any number of decimals."""
    if not text:
        return None
    expected = "expected credits of 0 or more, such as 0.0893, or nothing"
    if not re.fullmatch(r"[0-9.eE+-]{1,40}", text):
        raise ValueError(expected)
    try:
        cost = Decimal(text) * MICRO
    except ArithmeticError:
        raise ValueError(expected) from None
    if not 0 <= cost <= AMOUNT_MAX:
        raise ValueError(expected)
    return int(cost.to_integral_value(ROUND_CEILING))


def _rule(text: str) -> PriceRule | None:
    if text and text not in tuple(PriceRule):
        raise ValueError(f"expected {' or '.join(PriceRule)}, or nothing")
    return PriceRule(text) if text else None


def _switch(text: str) -> bool | None:
    known = {"": None, "true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise ValueError("expected true or false, or nothing")
    return known[text.lower()]


def _optional(parse: Callable[[str], int]) -> Callable[[str], int | None]:
    return lambda text: parse(text) if text else None


_READ: dict[str, Callable[[str], object]] = {
    "slug": _slug,
    "title": _words,
    "modality": _words,
    "run_seconds": _seconds,
    "cost": _cost,
    "price": _optional(parse_credits),
    "price_rule": _rule,
    "markup": _optional(parse_markup),
    "enabled": _switch,
}
