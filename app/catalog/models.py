"""How models are charged."""

from enum import StrEnum


class PriceRule(StrEnum):
    """What a job is charged: what the upstream reports, times a mark-up, at most its hold; or always its price."""

    METERED = "metered"
    FIXED = "fixed"
