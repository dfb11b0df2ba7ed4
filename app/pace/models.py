"""What stops submits, and what was granted and refused."""

from dataclasses import dataclass
from enum import StrEnum


class PauseReason(StrEnum):
    """Why submits wait, beside the budget: our account there is in trouble."""

    ACCOUNT = "account"


class What(StrEnum):
    """What a pause stops: submits to the upstream, or polls, too. Submits of tenants are still accepted."""

    SUBMITS = "submits"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Second:
    """What was granted in one second, and what of it was refused with 429."""

    at: int
    submits: int = 0
    reads: int = 0
    refused_submits: int = 0
    refused_reads: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """One answer 429: when its request was sent, and how long it asks us to wait, where it does."""

    is_read: bool
    sent_at: float
    reset_at: float | None
