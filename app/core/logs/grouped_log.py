"""Log thousands of equal warnings in few lines, and a lasting outage in two lines.

If 10,000 jobs fail at the same time, a line for each would hide all other lines. Here every id is in exactly one line, and
a line may hold many ids.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # a real import would load too much: see app.core.logs.log
    from structlog.stdlib import BoundLogger

GAP_SECONDS: Final = 5.0
"""How long equal warnings are collected after a line."""
IDS_MAX: Final = 100
"""The most ids in one line, about 4 kB."""

_Key = tuple[str, str, tuple[tuple[str, str | int | None], ...]]


class GroupedLog:
    """The warnings of one process about jobs, deliveries and the like. Equal ones differ only in their ids. The first is
    logged immediately, those of the next GAP_SECONDS together."""

    def __init__(self, log: "BoundLogger") -> None:
        self._log = log
        self._waiting: dict[_Key, list[str]] = {}

    def warn(self, event: str, *, name: str, ids: Iterable[str], **keywords: str | int | None) -> None:
        """Log `event` for `ids`, under the keyword `name` and with `count`. Logs nothing without ids."""
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
        """Log the waiting warnings, before a process ends."""
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
    """A problem that lasts. It is logged when it begins and when it ends, not each time."""

    def __init__(self, log: "BoundLogger", *, begun: str, over: str) -> None:
        self._log = log
        self._begun = begun
        self._over = over
        self._lasts = False

    def met(self, **keywords: object) -> None:
        """The problem occurred. Logs `begun` if it is new."""
        if not self._lasts:
            self._log.warning(self._begun, **keywords)
        self._lasts = True

    def passed(self, **keywords: object) -> None:
        """The problem did not occur. Logs `over` if it has lasted until now."""
        if self._lasts:
            self._log.warning(self._over, **keywords)
        self._lasts = False
