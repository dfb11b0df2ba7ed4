"""Kinds of transfers, periods of budgets, reasons of exposure. The docstring of `tables` shows how credits move."""

from enum import StrEnum


class TransferKind(StrEnum):
    """What a transfer does to a balance."""

    GRANT = "grant"
    HOLD = "hold"
    POST = "post"
    RELEASE = "release"
    EXPIRE = "expire"
    ADJUST = "adjust"


class Period(StrEnum):
    """The period of a budget: a UTC day or month."""

    DAY = "day"
    MONTH = "month"


class ExposureReason(StrEnum):
    """Why the upstream may have charged us what no tenant pays.

    CORRECTED: the truth about an expected amount, as the difference.
    UNASSIGNED: it is unknown which of several jobs it was; such a row has no job and no tenant.
    """

    COST_ABOVE_HOLD = "cost_above_hold"
    COST_ABOVE_PRICE = "cost_above_price"
    FAILED = "failed"
    LOST = "lost"
    UNKNOWN = "unknown"
    SECOND_START = "second_start"
    CORRECTED = "corrected"
    UNASSIGNED = "unassigned"
