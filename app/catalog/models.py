"""How models are charged."""

from enum import StrEnum


class PriceRule(StrEnum):
    """What a job is charged. METERED: the reported cost times a mark-up, at most its hold. FIXED: always its price."""

    METERED = "metered"
    FIXED = "fixed"
