"""Amounts of credits: integer micro-credits in code, strings with six decimals in the API. Never a float."""

import re

MICRO = 1_000_000
"""Micro-credits in a credit."""
AMOUNT_MAX = 10**15
"""A billion credits. A larger amount is probably in a wrong unit."""

EXPECTED = 'expected credits as a string of digits with at most 6 decimals, such as "0.089300"'
_AMOUNT = re.compile(r"(-?)([0-9]{1,10})(?:\.([0-9]{1,6}))?")


def parse_credits(text: object, *, signed: bool = False) -> int:
    """Parse an amount into micro-credits. Raises ValueError with what was expected.

    Only strings are accepted: a JSON number may have been a float, and then 0.1 + 0.2 is not 0.3.
    """
    found = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(EXPECTED)
    sign, whole, decimals = found.groups(default="")
    micro = int(whole) * MICRO + int(decimals.ljust(6, "0"))
    if micro > AMOUNT_MAX:
        raise ValueError(f"expected at most {AMOUNT_MAX // MICRO} credits")
    if sign and not signed:
        raise ValueError(f"{EXPECTED}, not below zero")
    return -micro if sign else micro


def show_credits(micro: int) -> str:
    """Format micro-credits as the API shows them: `89300` is `0.089300`."""
    whole, decimals = divmod(abs(micro), MICRO)
    return f"{'-' if micro < 0 else ''}{whole}.{decimals:06d}"
