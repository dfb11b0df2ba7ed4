"""The runs in the order of their submits, so that a page of the history near either end costs little however many there are."""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from app.simulator.runs import Run

_submitted_at = attrgetter("submitted_at")
_appears_at = attrgetter("appears_at")


@dataclass(frozen=True, slots=True)
class Window:
    """Which runs are listed: submitted in [begin, end), with `model` in their slug, in the history since `seen_at` or before.

    `seen_at`: compared with `appears_at`, so the present without the lag of all rows.
    """

    begin: float
    end: float
    model: str
    seen_at: float


class Timeline:
    """Keeps runs by model and number of outputs, each list in the order of submits."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, int], list[Run]] = {}
        self._late: list[Run] = []
        """Those that appear later than others, in the order in which they appear."""

    def add(self, run: Run) -> None:
        insort(self._groups.setdefault((run.slug, run.outputs), []), run, key=_submitted_at)
        if run.history_late_seconds:
            insort(self._late, run, key=_appears_at)

    def remove(self, run: Run) -> None:
        """Forget a run that was added."""
        group = self._groups[run.slug, run.outputs]
        _take_out(group, run, bisect_left(group, run.submitted_at, key=_submitted_at))
        if not group:
            del self._groups[run.slug, run.outputs]
        if run.history_late_seconds:
            _take_out(self._late, run, bisect_left(self._late, run.appears_at, key=_appears_at))

    def walk(self, window: Window, *, descending: bool) -> Iterator[Run]:
        """Yield the listed runs by the instant of their submit. Costs what is taken, and the late runs between that are not in the history yet."""
        spans = [
            map(group.__getitem__, range(high - 1, low - 1, -1) if descending else range(low, high))
            for group, low, high in self._spans(window)
        ]
        for run in heapq.merge(*spans, key=_submitted_at, reverse=descending):
            if run.appears_at <= window.seen_at:
                yield run

    def count_rows(self, window: Window) -> int:
        """The rows of all listed runs, one for each output. Looks only at those late runs that are not in the history yet."""
        rows = sum(group[low].outputs * (high - low) for group, low, high in self._spans(window))
        for run in reversed(self._late):
            if run.appears_at <= window.seen_at:
                break
            is_counted = window.begin <= run.submitted_at < window.end and run.submitted_at <= window.seen_at
            if is_counted and window.model in run.slug:
                rows -= run.outputs
        return rows

    def _spans(self, window: Window) -> Iterator[tuple[list[Run], int, int]]:
        """Yield lists, and from where to where their runs are listed, unless they are late."""
        for (slug, _), group in self._groups.items():
            if window.model not in slug:
                continue
            low = bisect_left(group, window.begin, key=_submitted_at)
            high = bisect_left(group, window.end, key=_submitted_at)
            high = min(high, bisect_right(group, window.seen_at, key=_submitted_at))
            if low < high:
                yield group, low, high


def _take_out(runs: list[Run], run: Run, begin: int) -> None:
    """Delete the run, which is at `begin` or behind others of the same instant."""
    while runs[begin] is not run:
        begin += 1
    del runs[begin]
