"""Removes amounts of the company's money from the upstream's errors, because no tenant may see them.

An amount is removed if it is a balance of the company's account to the digits shown, rounded or cut off, with or
without separators. If the error is about the account itself, every amount is removed. All other words stay.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple

from app.upstream.classify import ERROR_KEYS, error_words
from app.upstream.json_members import NotAnObject, slices, string_of, text_of, with_members
from app.upstream.wire import Outcome, OutcomeKind, storable

LEFT_OUT: Final = "…"
DIGITS_MIN: Final = 4
"""An amount with fewer digits is removed only if the error is about the account: `5` can be any number."""
AMOUNTS_MAX: Final = 2_000
"""In one body. Of a body with more, only the words that are shown are kept."""
BODY_BYTES_MAX: Final = 1024 * 1024
"""Of a larger error only the words that are shown are kept."""
BALANCE_EXPONENT_MAX: Final = 11
"""An amount of a million million credits or more is no balance."""

PIECES_MAX: Final = 8
"""Of up to this many pieces between separators, all combinations are tried; of more, each piece and the whole."""

_AMOUNT: Final = re.compile(
    r"\d{1,3}(?:[,.'’_ \u00a0\u2009\u202f]\d{3})+(?!\d|[eE][+-]?\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)?(?:[eE][+-]?\d{1,2}(?!\d))?",
    re.ASCII,
)
_SEPARATOR: Final = re.compile(r"([,'’_ \u00a0\u2009\u202f])")
_SPACER: Final = re.compile(r"['’_ \u00a0\u2009\u202f]")
_COMMA_DECIMAL: Final = re.compile(r"\d{1,3}(?:\.\d{3})*(?:,\d+)?|\d+,\d+", re.ASCII)
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?', re.ASCII | re.DOTALL)
_WITH_WORDS: Final = (OutcomeKind.REJECTED, OutcomeKind.FAILED, OutcomeKind.ACCOUNT)


class Range(NamedTuple):
    """Balances in micro-credits, unsigned, that an amount may mean. Both ends are included."""

    low: int
    high: int


Hides = Callable[[str], bool]
"""Whether this amount, as written, must be removed."""


def balance_micro(number: str) -> int | None:
    """Convert a balance as the upstream writes it to unsigned micro-credits; None if it is too large for a balance."""
    amount = abs(Decimal(number))
    if amount.adjusted() > BALANCE_EXPONENT_MAX:
        return None
    return int((amount * 1_000_000).quantize(Decimal(1), ROUND_HALF_UP))


def readings(amount: str) -> list[Range]:
    """Return the balances that an amount as written may mean; none if it has too few digits. A separator may have
    joined two amounts."""
    pieces = _SEPARATOR.split(amount)
    parts = {amount, *pieces[::2]}
    if len(pieces) <= 2 * PIECES_MAX:
        starts, ends = range(0, len(pieces), 2), range(1, len(pieces) + 1, 2)
        parts |= {"".join(pieces[start:end]) for start in starts for end in ends if start < end}
    spellings = {spelling for part in parts for spelling in _spellings(part)}
    return [found for spelling in spellings if (found := _reading(spelling)) is not None]


def _spellings(amount: str) -> Iterator[str]:
    """The amount with a decimal point or none, for both 98,765.4 and 98.765,4."""
    plain = _SPACER.sub("", amount)
    yield plain.replace(",", "")
    if _COMMA_DECIMAL.fullmatch(plain):
        yield plain.replace(".", "").replace(",", ".")


def _reading(spelling: str) -> Range | None:
    mantissa, _, exponent = spelling.lower().partition("e")
    digits = mantissa.replace(".", "")
    if mantissa.count(".") > 1 or not digits.isdigit() or len(digits.lstrip("0")) < DIGITS_MIN:
        return None
    value = Decimal(mantissa).scaleb(int(exponent or 0))
    if value.adjusted() > BALANCE_EXPONENT_MAX:
        return None
    return _range(value, Decimal(1).scaleb(int(exponent or 0) - len(mantissa.partition(".")[2])))


def _range(value: Decimal, unit: Decimal) -> Range:
    """From a balance that is rounded up to `value`, to one that is cut off to it."""
    micro, step = int(value * 1_000_000), int(unit * 1_000_000)
    return Range(micro - step // 2, micro + max(step - 1, 1))


@dataclass(frozen=True, slots=True)
class Said:
    """The words of an outcome: its error, and the JSON texts of the errors in its body, by their keys."""

    outcome: Outcome
    errors: dict[str, str]
    about_account: bool

    @property
    def amounts(self) -> set[str]:
        """Every amount that could be a balance, as written."""
        texts = [self.outcome.error or "", *self._texts()]
        return {found[0] for text in texts for found in _AMOUNT.finditer(text)}

    def _texts(self) -> Iterator[str]:
        for raw in self.errors.values():
            for token in _TOKEN.finditer(raw):
                yield string_of(token[0]) or token[0]
        if not self.errors and self.outcome.body is not None:
            yield text_of(self.outcome.body)


def said(outcome: Outcome) -> Said | None:
    """Return the words of an outcome that people are shown, or None if it has none."""
    if outcome.kind not in _WITH_WORDS or (outcome.error is None and outcome.body is None):
        return None
    about_account = outcome.kind is OutcomeKind.ACCOUNT or outcome.status_code in (401, 402)
    if outcome.body is None or len(outcome.body) > BODY_BYTES_MAX:
        return Said(replace(outcome, body=None, original=_original(outcome)), {}, about_account)
    try:
        errors = slices(outcome.body, *ERROR_KEYS)
    except NotAnObject:
        errors = {}
    return Said(outcome, errors, about_account)


def ranges_of(amounts: Iterable[str]) -> dict[str, list[Range]]:
    """Return the balances that each of these amounts may mean, without those that can mean none."""
    found = {amount: readings(amount) for amount in amounts}
    return {amount: ranges for amount, ranges in found.items() if ranges}


def redact_account_details(told: Said, hides: Hides) -> Outcome:
    """Return the outcome without the amounts that must be removed from its error and its body."""
    outcome = told.outcome
    error = None if outcome.error is None else without(outcome.error, hides)
    if outcome.body is None:
        original = outcome.original
        if original is None and error is not None and outcome.error is not None and error != outcome.error:
            original = outcome.error.encode("utf-8", "surrogatepass")
        return replace(outcome, error=error, original=original)
    if not told.errors:
        text = text_of(outcome.body)
        shown = without(text, hides)
        if shown == text:
            return replace(outcome, error=error)
        return replace(outcome, error=error, body=shown.encode("utf-8", "surrogateescape"), original=_original(outcome))
    errors = {key: without_in_json(raw, hides) for key, raw in told.errors.items()}
    if errors == told.errors:
        return replace(outcome, error=error)
    body = with_members(outcome.body, errors)
    return replace(outcome, error=error_words(errors), body=body, original=_original(outcome))


def _original(outcome: Outcome) -> bytes | None:
    return outcome.body if outcome.original is None else outcome.original


def without(text: str, hides: Hides) -> str:
    """Return the text without the amounts that must be removed."""
    return _AMOUNT.sub(lambda found: LEFT_OUT if hides(found[0]) else found[0], text)


def without_in_json(raw: str, hides: Hides) -> str:
    """Return a JSON text without the amounts: a number becomes null, a string keeps its other words. All else stays."""

    def shown(found: re.Match[str]) -> str:
        words = string_of(found[0])
        if words is None:
            return "null" if hides(found[0].removeprefix("-")) else found[0]
        kept = without(words, hides)
        return found[0] if kept == words else json.dumps(kept)

    return _TOKEN.sub(shown, raw)


def may_be_shown(raw: str | None, message: str | None) -> bool:
    """Whether the JSON text of an error says exactly what `message` says, which may be shown."""
    if raw is None or raw == "null":
        return False
    words = string_of(raw)
    return not (shown := storable(raw if words is None else words)) or shown == message
