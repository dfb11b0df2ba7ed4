"""What stops submits, and how many requests were granted and refused."""

from dataclasses import dataclass
from enum import StrEnum


class PauseReason(StrEnum):
    """Why submits wait, apart from the rate limit: the company's account at the upstream is in trouble."""

    ACCOUNT = "account"


class What(StrEnum):
    """What an operator's pause stops: submits to the upstream, or polls as well. Tenants may still submit jobs."""

    SUBMITS = "submits"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Second:
    """How many requests were granted in one second, and how many of these were answered 429."""

    at: int
    submits: int = 0
    reads: int = 0
    refused_submits: int = 0
    refused_reads: int = 0


@dataclass(frozen=True, slots=True)
class Throttled:
    """One answer 429: when its request was sent, and until when it asks us to wait, if it says so."""

    is_read: bool
    sent_at: float
    reset_at: float | None
