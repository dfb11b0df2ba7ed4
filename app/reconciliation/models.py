"""How a reconciliation ends, and what it can find."""

from enum import StrEnum


class Result(StrEnum):
    """How a reconciliation ended: nothing differs; something does; it stopped at its bound, and the next one goes on from
    there; part of it could not be read; its process has died."""

    AGREES = "agrees"
    DIFFERS = "differs"
    CUT = "cut"
    INCOMPLETE = "incomplete"
    ABANDONED = "abandoned"


class Kind(StrEnum):
    """What is told differently.

    balance: a tenant's balance and the sum of its transfers. credits: what the upstream took from the company's credits
    between two readings, and our recorded costs. cost: of one request. cost_unknown: nobody has told it. missing: a
    job's request that the history does not have. not_ours: a request of theirs that no job has made; second_start: one
    that repeats a job's; lost_start: one that fits a job of which nobody knew whether it had started.
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
    Kind.COST, Kind.COST_UNKNOWN, Kind.MISSING, Kind.NOT_OURS, Kind.SECOND_START, Kind.LOST_START,
)  # fmt: skip
"""Those about one request of the upstream's."""
