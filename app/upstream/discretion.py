"""What the upstream's words tell of the company's money, which is no tenant's business: the amounts are left out.

All other words are shown verbatim.
"""

import json
import re
from typing import Final

from app.upstream.wire import string_of

_OF_MONEY: Final = re.compile(
    r"credit|(?<!white.)balance|\bspend(?:ing)?\b|\bfunds?\b|\bwallet\b|[$€£] ?\d|\busd\b", re.IGNORECASE
)
_AMOUNT: Final = re.compile(r"\d(?:[\d.,' _]*\d)?(?:[eE][+-]?\d+)?")
_LEFT_OUT: Final = "…"
_ACCOUNT: Final = json.dumps("the upstream refused it for the sake of our account there")


def discreet(words: str) -> str:
    """Words for a tenant: where they speak of money, without the amounts."""
    return _AMOUNT.sub(_LEFT_OUT, words) if _OF_MONEY.search(words) else words


def discreet_json(raw: str) -> str:
    """As `discreet`, of the JSON text of an error: mostly a string; anything else that speaks of money is replaced."""
    words = string_of(raw)
    if words is None:
        return _ACCOUNT if _OF_MONEY.search(raw) else raw
    shown = discreet(words)
    return raw if shown == words else json.dumps(shown, ensure_ascii=True)
