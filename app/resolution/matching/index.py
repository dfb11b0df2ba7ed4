"""Finds the attempts that may have made a request, without comparing it with every attempt."""

from collections.abc import Hashable, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final, NamedTuple

from app.resolution.matching.fitting import Candidate, canonical, could_be
from app.upstream.history_rows import HistoryRow

TEXT_MAX: Final = 64
"""A longer value is represented by its hash, so that the index stays small."""

COST_EACH: Final = 20_000
"""What an attempt costs to be filed or compared, in nanoseconds."""

Member = tuple[str | bytes | None, Hashable]
"""Name and value of a parameter. Name None: all of the parameters, which are not an object."""


class Fitting(NamedTuple):
    """An attempt whose parameters are all in a row. added: the number of members that the row has beside them."""

    candidate: Candidate
    added: int


class FittingIndex:
    """Each attempt is filed under one of its members, the one that the fewest others are filed under. A row that has all members
    of an attempt has that one, too."""

    def __init__(self, candidates: Iterable[Candidate] = (), *, keeps_bodies: bool = True) -> None:
        """`keeps_bodies`: False if the attempts that are found need no parameters. members: how many are filed."""
        self.members = 0
        self._keeps_bodies = keeps_bodies
        self._filed: dict[tuple[str, Member | None], list[tuple[Candidate, frozenset[Member]]]] = {}
        for candidate in candidates:
            self.add(candidate)

    def add(self, candidate: Candidate) -> None:
        """Add an attempt with its parameters."""
        members = members_of(candidate.body)
        self.members += len(members)
        rarest = min(members, key=lambda member: len(self._filed.get((candidate.model, member), ())), default=None)
        kept = candidate if self._keeps_bodies else replace(candidate, body=None)
        self._filed.setdefault((candidate.model, rarest), []).append((kept, members))

    def find(self, row: HistoryRow) -> list[Fitting]:
        """Return the attempts that may have made this request by model, time and parameters, the earliest first."""
        theirs = members_of(row.body)
        model = row.model or ""
        keys: list[Member | None] = [*theirs, None] if isinstance(row.body, dict) else list(theirs)
        found = [
            Fitting(candidate, len(theirs) - len(members))
            for key in keys
            for candidate, members in self._filed.get((model, key), ())
            if could_be(row, candidate) and members <= theirs
        ]
        return sorted(found, key=lambda fitting: fitting.candidate.sent_at)


def members_of(body: Any) -> frozenset[Member]:
    """Return the parameters, so that they are equal for values that the upstream may show for one another."""
    if not isinstance(body, dict):
        return frozenset({(None, _short(canonical(body)))})
    return frozenset((_short_text(name), _short(canonical(value))) for name, value in body.items())


def _short(value: Hashable) -> Hashable:
    match value:
        case ("text" | "number" as kind, str(text)):
            return kind, _short_text(text)
        case ("object" | "list", *_):
            return "structure", _hash(repr(value))
    return value


def _short_text(text: str) -> str | bytes:
    return text if len(text) <= TEXT_MAX else _hash(text)


def _hash(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
