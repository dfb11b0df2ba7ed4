"""How models are charged."""

from enum import StrEnum


class PriceRule(StrEnum):
    """The charge of a job. metered: the upstream's cost times the mark-up, at most the hold; fixed: the price."""

    METERED = "metered"
    FIXED = "fixed"
