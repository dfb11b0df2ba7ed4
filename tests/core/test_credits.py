"""Amounts of credits, read and shown: every amount survives, and nothing else gets in."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.core.credits import AMOUNT_MAX, MICRO, parse_credits, show_credits

AMOUNTS = st.integers(-AMOUNT_MAX, AMOUNT_MAX)


@given(AMOUNTS)
@example(0)
@example(-1)
@example(AMOUNT_MAX)
def test_what_is_shown_is_read_again(micro: int) -> None:
    shown = show_credits(micro)
    assert parse_credits(shown, signed=True) == micro
    assert Decimal(shown) * MICRO == micro
    assert len(shown.partition(".")[2]) == 6


@given(st.integers(0, AMOUNT_MAX // MICRO - 1), st.text("0123456789", min_size=1, max_size=6))
def test_fewer_decimals_mean_the_same(whole: int, decimals: str) -> None:
    assert parse_credits(f"{whole}.{decimals}") == Decimal(f"{whole}.{decimals}") * MICRO
    assert parse_credits(str(whole)) == whole * MICRO


@given(st.text())
@example("-0")
@example("0.0000001")
def test_what_is_read_is_an_amount(text: str) -> None:
    try:
        micro = parse_credits(text, signed=True)
    except ValueError:
        return
    assert Decimal(text) * MICRO == micro
    assert text.isascii()


@pytest.mark.parametrize(
    "wrong",
    [
        "", " 1", "1 ", "1\n", ".5", "1.", "+1", "1e3", "1E3", "NaN", "nan", "Infinity", "-Infinity", "0x10", "1_000",
        "1,5", "1.0000000", "١", "1.1.1", "--1", "- 1", "\x00", "9" * 5000, "1000000000.000001", "10000000000",
        0, 1, 0.5, True, None, [], {}, float("nan"), b"1",
    ],
)  # fmt: skip
def test_what_is_no_amount(wrong: object) -> None:
    for signed in (False, True):
        with pytest.raises(ValueError, match="expected"):
            parse_credits(wrong, signed=signed)


def test_a_sign_needs_leave() -> None:
    assert parse_credits("-1.5", signed=True) == -1_500_000
    with pytest.raises(ValueError, match="not below zero"):
        parse_credits("-1.5")
