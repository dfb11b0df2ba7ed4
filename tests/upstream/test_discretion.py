"""What the upstream's errors tell of the company's money is left out; all other words are verbatim."""

import json
from collections.abc import Iterable

import pytest

from app.upstream.discretion import (
    LEFT_OUT,
    Range,
    balance_micro,
    may_be_shown,
    ranges_of,
    readings,
    redact_account_details,
    said,
    without,
    without_in_json,
)
from app.upstream.wire import Outcome, OutcomeKind

BALANCE = 987_654_321_000  # 987654.321


def holds(ranges: Iterable[Range], *balances: int) -> bool:
    return any(low <= balance <= high for low, high in ranges for balance in balances)


def hides(amount: str, *balances: int) -> bool:
    return holds(readings(amount), *(balances or (BALANCE,)))


SHOWN = (
    "987654.321", "987654.3210", "987,654.321", "987 654.321", "987'654.321", "987_654.321", "987\u202f654.32",
    "987.654,321", "987654,321", "987654.32", "987654.3", "987654", "987,654", "987.654", "9.87654321e5", "9.8765e5",
    "9.877e5", "0987654.321",
)  # fmt: skip
OTHERS = (
    "987654.322", "987654.33", "987654.4", "987655", "98765", "987", "87654.321", "1987654.321", "9.88e5", "1024.5",
    "987653", "9.8764e5", "1024", "5", "0.5", "99999999999999999999999999",
)  # fmt: skip


@pytest.mark.parametrize("amount", SHOWN)
def test_a_balance_to_the_digits_shown(amount: str) -> None:
    assert hides(amount)
    assert without(f"You have {amount} left", hides) == f"You have {LEFT_OUT} left"


@pytest.mark.parametrize("amount", OTHERS)
def test_other_amounts_stay(amount: str) -> None:
    words = f"max {amount} px; credits are charged only for what completes"
    assert without(words, hides) == words


def test_what_is_rounded_and_what_is_cut_off() -> None:
    balance = 98_765_678_900  # 98765.6789
    assert all(hides(one, balance) for one in ("98765.68", "98765.67", "98766", "98765", "9.877e4", "9.876e4"))
    assert not any(hides(one, balance) for one in ("98765.69", "98765.66", "98764", "98767", "9.875e4"))
    assert not hides("5", 5_400_000), "any number may be 5"
    assert not hides("5.400", 5_500_000)
    assert hides("5.400", 5_400_000)


@pytest.mark.parametrize(
    "words",
    ["HTTP 406 987,654.32", "2 of 987654.321", "[1,987654.321,2]", "$987654.32!", "a=987654.321,b=1", "987654.321 100"],
)
def test_a_balance_among_other_numbers(words: str) -> None:
    shown = without(words, hides)
    assert LEFT_OUT in shown
    assert "654" not in shown


@pytest.mark.parametrize("number", ["1e-400", "0", "-0.5", "987654.321", "-987654.321", "1e11", "1.5E3"])
def test_balances_are_read(number: str) -> None:
    assert balance_micro(number) == {"987654.321": BALANCE, "-987654.321": BALANCE, "1e11": 10**17, "1.5E3": 1_500_000_000,
                                     "-0.5": 500_000}.get(number, 0)  # fmt: skip


def test_what_is_no_balance() -> None:
    assert balance_micro("1e999999") is None
    assert readings("9" * 5000) == []


def test_within_json_numbers_become_null_and_all_else_stays() -> None:
    raw = '{ "balance":987654.321, "at":[1e999, -987654.321], "say":"you have \\u0039\\u00387654.32 \\u00e9","x":"\\u00e9"}'
    shown = without_in_json(raw, hides)
    assert shown.startswith('{ "balance":null, "at":[1e999, null], "say":')
    assert shown.endswith(',"x":"\\u00e9"}')
    assert json.loads(shown)["say"] == f"you have {LEFT_OUT} é"
    for other in ("null", "17", '{"code":"x","at":[1e999]}', "[]", '"caf\\u00e9 5"'):
        assert without_in_json(other, hides) == other


def outcome(
    body: bytes, *, status_code: int = 400, kind: OutcomeKind = OutcomeKind.REJECTED, error: str | None = None
) -> Outcome:
    return Outcome(kind, status_code, 0.1, f"http_{status_code}", body=body, error=error)


def test_an_outcome_is_told_without_balances_and_keeps_its_original() -> None:
    body = b'{"error":"You have 987654.321 left of 1024.5","detail":{"left":987654.321},"metrics":{"remaining_credits":987654.321}}'
    told = said(outcome(body, error="You have 987654.321 left of 1024.5"))
    assert told is not None
    assert set(ranges_of(told.amounts)) == {"987654.321", "1024.5"}
    shown = redact_account_details(told, hides)
    assert shown.error == f"You have {LEFT_OUT} left of 1024.5"
    assert shown.original == body
    assert json.loads(shown.body or b"") == {
        "error": f"You have {LEFT_OUT} left of 1024.5", "detail": {"left": None},
        "metrics": {"remaining_credits": 987654.321},
    }, "metrics are rewritten wherever they are shown"  # fmt: skip


def test_an_outcome_without_balances_is_left_as_it_was() -> None:
    for body, error in (
        (b'{"error":"fps: 1024.5"}', "fps: 1024.5"),
        (b"max 1024.5 px", "max 1024.5 px"),
        (b"\xff<html>", None),
    ):
        before = outcome(body, error=error)
        told = said(before)
        assert told is not None
        assert redact_account_details(told, hides) == before
    assert said(Outcome(OutcomeKind.RUNNING, 200, 0.1, "http_200")) is None
    assert said(Outcome(OutcomeKind.SUCCEEDED, 200, 0.1, "http_200", body=b'{"output":987654.321}')) is None


def test_what_is_about_the_account_shows_no_amount_at_all() -> None:
    words = "Insufficient credits. You have 5.4 credits, 0.0105 are needed"
    for kind, status_code in ((OutcomeKind.ACCOUNT, 406), (OutcomeKind.REJECTED, 402), (OutcomeKind.ACCOUNT, 401)):
        told = said(outcome(json.dumps({"error": words}).encode(), kind=kind, status_code=status_code, error=words))
        assert told is not None
        assert told.about_account
    other = said(outcome(b'{"error":"x"}', error="x"))
    assert other is not None
    assert not other.about_account


def test_words_without_a_body_are_their_own_original() -> None:
    """As of a refusal for the sake of our account that turns out to be about its job."""
    words = "Insufficient credits. You have 5.4 credits"
    told = said(Outcome(OutcomeKind.ACCOUNT, 406, 0.1, "http_406", error=words))
    assert told is not None
    shown = redact_account_details(told, lambda _: True)
    assert (shown.error, shown.original) == (f"Insufficient credits. You have {LEFT_OUT} credits", words.encode())
    assert redact_account_details(told, lambda _: False).original is None


def test_plain_text_and_large_bodies() -> None:
    told = said(outcome(b"You have 987654.321 left", error="You have 987654.321 left"))
    assert told is not None
    assert redact_account_details(told, hides).body == f"You have {LEFT_OUT} left".encode()
    large = said(outcome(b'{"error":"' + b"x" * 2_000_000 + b' 987654.321"}', error="x"))
    assert large is not None
    assert redact_account_details(large, hides).body is None, "only what is shown is kept of it"


def test_an_error_of_older_rows_is_shown_only_as_its_message_tells_it() -> None:
    assert may_be_shown('"caf\\u00e9"', "café")
    assert may_be_shown('{"a":1}', '{"a":1}')
    assert may_be_shown('""', "the upstream reported FAILED without an error message")
    assert not may_be_shown('"You have 5 credits"', f"You have {LEFT_OUT} credits")
    assert not may_be_shown("null", "x")
    assert not may_be_shown(None, "x")
