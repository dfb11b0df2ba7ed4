"""Warnings that may come by the thousand, in few lines; and troubles that last, in two.

When 10,000 jobs fail at once, a line for each would bury everything else. Here every id is in exactly one line, and a line
may hold many ids.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # to import it would load more than is needed: see app.core.logs.log
    from structlog.stdlib import BoundLogger

GAP_SECONDS: Final = 5.0
"""After a line, equal warnings are collected for so long."""
IDS_MAX: Final = 100
"""In one line: some 4 kB."""

_Key = tuple[str, str, tuple[tuple[str, str | int | None], ...]]


class GroupedLog:
    """The warnings of one process about jobs, deliveries and the like. Warnings are equal when all but the ids is equal: the
    first is logged at once, those of the next GAP_SECONDS together."""

    def __init__(self, log: "BoundLogger") -> None:
        self._log = log
        self._waiting: dict[_Key, list[str]] = {}

    def warn(self, event: str, *, name: str, ids: Iterable[str], **keywords: str | int | None) -> None:
        """Log that this happened to `ids`, under the keyword `name` and beside `count`. Nothing happened to no ids."""
        told = list(ids)
        if not told:
            return
        key = (event, name, tuple(sorted(keywords.items())))
        waiting = self._waiting.get(key)
        if waiting is None:
            self._open(key)
            self._write(key, told)
            return
        waiting += told
        while len(waiting) >= IDS_MAX:
            self._write(key, waiting[:IDS_MAX])
            del waiting[:IDS_MAX]

    def flush(self) -> None:
        """Log what is waiting, as a process does before it ends."""
        waiting, self._waiting = self._waiting, {}
        for key, ids in waiting.items():
            self._write(key, ids)

    def _open(self, key: _Key) -> None:
        self._waiting[key] = []
        asyncio.get_running_loop().call_later(GAP_SECONDS, self._close, key)

    def _close(self, key: _Key) -> None:
        ids = self._waiting.pop(key, None)
        if ids:
            self._open(key)
            self._write(key, ids)

    def _write(self, key: _Key, ids: list[str]) -> None:
        event, name, keywords = key
        for start in range(0, len(ids), IDS_MAX):
            part = ids[start : start + IDS_MAX]
            self._log.warning(event, count=len(part), **dict(keywords), **{name: part})


class Outage:
    """A trouble that lasts: logged when it begins and when it is over, not each time that it is met."""

    def __init__(self, log: "BoundLogger", *, begun: str, over: str) -> None:
        self._log = log
        self._begun = begun
        self._over = over
        self._lasts = False

    def met(self, **keywords: object) -> None:
        """It is there, or still there."""
        if not self._lasts:
            self._log.warning(self._begun, **keywords)
        self._lasts = True

    def passed(self, **keywords: object) -> None:
        """It is not there, or no more."""
        if self._lasts:
            self._log.warning(self._over, **keywords)
        self._lasts = False
