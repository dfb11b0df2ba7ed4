"""What the upstream's words tell of the company's money is left out; all others are verbatim."""

import pytest

from app.upstream.discretion import discreet, discreet_json

OF_MONEY = {
    "Insufficient credits. You have 98765.4 credits. 0.0105 credits are needed.": (
        "Insufficient credits. You have … credits. … credits are needed."
    ),
    "Your balance is $98,765.43": "Your balance is $…",
    "spend limit of 98 765 USD reached for 2026-11": "spend limit of … USD reached for …-…",
    "only 9.8765e4 credits": "only … credits",
}
OTHERS = (
    "Prompt is required for video generation.",
    "fps must be between 5 and 30",
    "white_balance must be between 2000 and 8000",
    "$.fps: expected a number above 3",
    "",
)


@pytest.mark.parametrize("words", OF_MONEY)
def test_amounts_are_left_out(words: str) -> None:
    assert discreet(words) == OF_MONEY[words]
    assert "987" not in discreet_json(f'"{words}"')


@pytest.mark.parametrize("words", OTHERS)
def test_other_words_are_verbatim(words: str) -> None:
    assert discreet(words) == words
    assert discreet_json(f'"{words}\\u00e9"') == f'"{words}\\u00e9"'


def test_errors_that_are_no_strings() -> None:
    for raw in ("null", "17", '{"code":"x","at":[1e999]}', "[]"):
        assert discreet_json(raw) == raw
    for raw in ('{"balance":98765.4}', '["You have 98765 credits"]'):
        assert "98765" not in discreet_json(raw)
