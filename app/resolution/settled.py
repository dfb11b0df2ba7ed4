"""Attempts whose requests are known. They show whether an orphan of a model without a schema fits something better."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Final
from uuid import UUID

from app.core.database.session import ReadSession
from app.core.off_loop import run_sized
from app.resolution.matching.fitting import CLOCKS, SEND, Candidate
from app.resolution.matching.index import COST_EACH, Fitting, FittingIndex
from app.resolution.queries import SETTLED_MAX, SettledJob, list_bodies, list_settled
from app.upstream.history_rows import HistoryRow

SLOT_SECONDS: Final = 300
"""Attempts are kept and forgotten together with all others that were sent in the same five minutes."""
TOGETHER: Final = 1_000
"""The parameters of so many are loaded by one statement."""
MEMBERS_MAX: Final = 1_000_000
"""So many parameters are kept in all: each takes some two hundred bytes."""
BEFORE: Final = CLOCKS + SEND
"""An attempt that was sent this long before a request was accepted may have made it."""


class SettledAttempts:
    """Kept between the reads of one worker: at a hundred jobs a second, an orphan is compared with tens of thousands."""

    def __init__(self) -> None:
        self._slots: dict[int, FittingIndex] = {}
        self._known: dict[int, set[tuple[UUID, int]]] = {}

    async def load(self, session: ReadSession, rows: Sequence[HistoryRow]) -> list[HistoryRow]:
        """Load the attempts that may have made one of these requests, and forget others. Return the requests of times with too many
        attempts, or too large ones. `session`: a snapshot."""
        self._forget(rows)
        left: list[HistoryRow] = []
        for group in _near(rows):
            start, end = _instant(group[0]) - BEFORE, _instant(group[-1]) + CLOCKS
            sent = await list_settled(session, model=group[0].model or "", since=start, until=end)
            if len(sent) == SETTLED_MAX or not await self._load(session, sent):
                left += group
        return left

    async def _load(self, session: ReadSession, sent: Sequence[SettledJob]) -> bool:
        missing = [job for job in sent if (job.job_id, job.attempt) not in self._known.get(_slot(job.sent_at), ())]
        while missing:
            bodies = await list_bodies(session, job_ids=[job.job_id for job in missing[:TOGETHER]])
            found = [
                Candidate(
                    job.job_id,
                    job.attempt,
                    job.tenant_id,
                    job.model,
                    job.sent_at,
                    job.sent_at + SEND,
                    bodies[job.job_id],
                )
                for job in missing[:TOGETHER]
                if job.job_id in bodies
            ]
            if not found:
                return False  # the first is larger than what may be loaded at once
            if not await run_sized(COST_EACH * len(found), self._add, found):
                return False
            missing = [job for job in missing if job.job_id not in bodies]
        return True

    def _add(self, candidates: Iterable[Candidate]) -> bool:
        """Return False if not all were added: there would be too many parameters."""
        members = sum(index.members for index in self._slots.values())
        for candidate in candidates:
            if members > MEMBERS_MAX:
                return False
            slot = _slot(candidate.sent_at)
            index = self._slots.setdefault(slot, FittingIndex(keeps_bodies=False))
            members -= index.members
            index.add(candidate)
            members += index.members
            self._known.setdefault(slot, set()).add(candidate.key)
        return True

    def find(self, row: HistoryRow) -> list[Fitting]:
        """Return those of the loaded attempts that may have made this request."""
        slots = range(_slot(_instant(row) - BEFORE), _slot(_instant(row) + CLOCKS) + 1)
        return list(chain.from_iterable(self._slots[slot].find(row) for slot in slots if slot in self._slots))

    def _forget(self, rows: Iterable[HistoryRow]) -> None:
        needed = min((_slot(_instant(row) - BEFORE) for row in rows), default=None)
        for slot in [slot for slot in self._slots if needed is None or slot < needed]:
            del self._slots[slot], self._known[slot]


def _near(rows: Iterable[HistoryRow]) -> Iterable[list[HistoryRow]]:
    """The requests of each model in the order of their times, without long gaps in between."""
    by_model: dict[str | None, list[HistoryRow]] = defaultdict(list)
    for row in rows:
        by_model[row.model].append(row)
    for of_model in by_model.values():
        group: list[HistoryRow] = []
        for row in sorted(of_model, key=_instant):
            if group and _instant(row) - _instant(group[-1]) > BEFORE + CLOCKS:
                yield group
                group = []
            group.append(row)
        yield group


def _instant(row: HistoryRow) -> datetime:
    assert row.created_at is not None, "a request without an instant fits no attempt"
    return row.created_at


def _slot(instant: datetime) -> int:
    return int(instant.timestamp() // SLOT_SECONDS)
