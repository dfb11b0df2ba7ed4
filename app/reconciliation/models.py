"""Results of a reconciliation, and kinds of discrepancies."""

from enum import StrEnum


class Result(StrEnum):
    """How a reconciliation ended. AGREES: nothing differs. DIFFERS: something does. CUT: it reached its maximum of rows, and
    the next one continues there. INCOMPLETE: a part could not be read. ABANDONED: its process died."""

    AGREES = "agrees"
    DIFFERS = "differs"
    CUT = "cut"
    INCOMPLETE = "incomplete"
    ABANDONED = "abandoned"


class DiscrepancyKind(StrEnum):
    """The kinds of discrepancies.

    BALANCE: a tenant's balance differs from the sum of its transfers. CREDITS: what the upstream took from the company's
    credits between two readings differs from our recorded costs. COST: the cost of a request differs. COST_UNKNOWN: neither
    side has a cost. MISSING: the history lacks a job's request. NOT_OURS: no job made a request of the history. SECOND_START:
    such a request repeats a job's. LOST_START: such a request fits a job whose start was unknown.
    """

    BALANCE = "balance"
    CREDITS = "credits"
    COST = "cost"
    COST_UNKNOWN = "cost_unknown"
    MISSING = "missing"
    NOT_OURS = "not_ours"
    SECOND_START = "second_start"
    LOST_START = "lost_start"


OF_HISTORY = (
    DiscrepancyKind.COST, DiscrepancyKind.COST_UNKNOWN, DiscrepancyKind.MISSING, DiscrepancyKind.NOT_OURS, DiscrepancyKind.SECOND_START, DiscrepancyKind.LOST_START,
)  # fmt: skip
"""The kinds about one request of the upstream."""
