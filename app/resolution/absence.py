"""Pure functions: when does a read of the history prove that an attempt did not arrive?

Never because a row is missing alone: the history may lag, for single rows too. The proof needs a sender that sends nothing more, a
read that began late enough, and all our other requests around the attempt in that same read.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.resolution.matching.fitting import CLOCKS

BEFORE: Final = timedelta(seconds=60)
"""Requests of ours sent this long before the attempt must be in the read, too."""
DEPTH: Final = timedelta(minutes=10)
"""The read must go back this far before the attempt."""
WITNESSES_MIN: Final = 20
"""So many requests of ours that were sent after the attempt must be in the read."""
LATENESS_FACTOR: Final = 2.0
"""The settle time is at least this multiple of the longest lateness of a request of ours in the last days."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request of ours that was accepted. seen: the read has it."""

    sent_at: datetime
    seen: bool


@dataclass(frozen=True, slots=True)
class Quiet:
    """An attempt without a request. since: its sender sends nothing more after this instant; None: it may still send."""

    sent_at: datetime
    since: datetime | None
    model: str


class Read:
    """A read of the history, from its newest row back to one created at `reached`, by our clock."""

    def __init__(
        self,
        *,
        began_at: datetime,
        reached: datetime,
        ours: Iterable[Sent],
        unplaced: Iterable[tuple[str | None, datetime | None]] = (),
    ) -> None:
        """`ours`: all requests of the time that the upstream itself accepted, none that was found in the history. `unplaced`: model and
        instant of orphans that nobody can have made, by all that we know; None: the row lacks that. Somebody has made them."""
        self._began_at = began_at
        self._reached = reached
        in_order = sorted(ours, key=lambda sent: sent.sent_at)
        self._sent = [sent.sent_at for sent in in_order]
        self._missing = [sent.sent_at for sent in in_order if not sent.seen]
        self._unplaced = list(unplaced)

    def proves_absent(self, attempt: Quiet, *, settle_seconds: float) -> bool:
        """Whether the attempt did not arrive. The caller has found that no orphan of this read fits it."""
        if attempt.since is None:
            return False
        settle = timedelta(seconds=settle_seconds)
        begin, end = attempt.sent_at - BEFORE, attempt.sent_at + settle
        return (
            self._began_at >= max(attempt.sent_at, attempt.since) + settle
            and self._reached <= attempt.sent_at - DEPTH
            and _number(self._missing, begin, end) == 0
            and _number(self._sent, attempt.sent_at, end) >= WITNESSES_MIN
            and not any(self._may_hide(attempt, model, at) for model, at in self._unplaced)
        )

    @staticmethod
    def _may_hide(attempt: Quiet, model: str | None, at: datetime | None) -> bool:
        """Whether it may be this attempt's, or that of a twin that has got this attempt's request."""
        assert attempt.since is not None
        in_time = at is None or attempt.sent_at - 2 * CLOCKS <= at <= max(attempt.sent_at, attempt.since) + 2 * CLOCKS
        return model in (None, attempt.model) and in_time


def settle_time(configured_seconds: float, *, longest_lateness_seconds: float) -> float:
    """Return how many seconds after the send the history has settled."""
    return max(configured_seconds, LATENESS_FACTOR * longest_lateness_seconds)


def clock_offset(pairs: Sequence[tuple[datetime, datetime]]) -> timedelta:
    """Return how far the upstream's clock is ahead of ours. `pairs`: when we sent a request, and when the upstream says that it
    accepted it. Too few pairs: zero."""
    if len(pairs) < 5:
        return timedelta()
    differences = sorted(accepted_at - sent_at for sent_at, accepted_at in pairs)
    return differences[len(differences) // 2]


def _number(instants: Sequence[datetime], begin: datetime, end: datetime) -> int:
    """How many of these instants, which are in order, are in [begin, end]."""
    return bisect_right(instants, end) - bisect_left(instants, begin)
