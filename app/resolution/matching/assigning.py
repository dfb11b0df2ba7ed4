"""Pure functions: assign requests of the history to the attempts that made them, only where no other assignment is possible.

The key at the upstream is ours alone, so each orphan was made by exactly one attempt, and each attempt made at most one. Attempts of
one tenant with the same model and parameters are interchangeable: whichever gets the request, the tenant gets the result that it
asked for. So an orphan is assigned if it belongs to the same interchangeable attempts in every possible assignment.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from app.resolution.matching.fitting import Candidate, added_members, are_defaults, exact
from app.resolution.matching.index import Fitting, FittingIndex
from app.upstream.history_rows import HistoryRow

EDGES_MAX: Final = 20_000
"""A group of orphans and attempts with more pairs than this is not resolved: it costs too much time."""

Attempt = tuple[UUID, int]
SchemaOf = Callable[[str], Mapping[str, Any] | None]


class Finds(Protocol):
    """Attempts to be compared with a request."""

    def find(self, row: HistoryRow) -> list[Fitting]:
        """Return those that may have made it."""


@dataclass(slots=True)
class Assigned:
    """The result.

    adopted: the attempt of each orphan, by upstream id. contested: orphans that attempts of several tenants may have made.
    doubtful: attempts that may have made an orphan which they did not get; nothing is proven of them. strangers: orphans that no
    attempt fits.
    """

    adopted: dict[str, Attempt] = field(default_factory=dict)
    contested: dict[str, list[Attempt]] = field(default_factory=dict)
    doubtful: set[Attempt] = field(default_factory=set)
    strangers: list[HistoryRow] = field(default_factory=list)


def assign(
    orphans: Sequence[HistoryRow],
    candidates: Sequence[Candidate],
    *,
    schema_of: SchemaOf = lambda _: None,
    settled: Finds | None = None,
) -> Assigned:
    """Assign the orphans. `schema_of` a model; None: it is not known. `settled`: attempts whose requests are known; they only
    show which parameters fit an orphan better."""
    result = Assigned()
    known = {candidate.key: candidate for candidate in candidates}
    # the earliest first, so that twins get their requests in order
    orphans = sorted(orphans, key=lambda row: row.created_at.timestamp() if row.created_at is not None else 0.0)
    index = FittingIndex(candidates)
    edges: dict[str, list[Attempt]] = {}
    instants = {row.upstream_id: row.created_at for row in orphans if row.created_at is not None}
    for row in orphans:
        fitting, passed_over = _fitting(row, index, schema_of, settled)
        result.doubtful |= {candidate.key for candidate in passed_over}
        if any(candidate.waits for candidate in fitting):
            # it may be theirs, so nobody gets it yet; without it, the others have no fewer possible assignments
            result.doubtful |= {candidate.key for candidate in fitting}
        elif fitting:
            edges[row.upstream_id] = [candidate.key for candidate in fitting]
        else:
            result.strangers.append(row)
    for group in _groups(edges):
        _assign_group({row: edges[row] for row in group}, instants, known, result)
    return result


def needing_settled(
    orphans: Iterable[HistoryRow], candidates: Iterable[Candidate], *, schema_of: SchemaOf
) -> list[HistoryRow]:
    """Return the orphans that must be compared with settled attempts, too: those with added members, of models without a schema."""
    index = FittingIndex(candidates)
    needing: list[HistoryRow] = []
    for row in orphans:
        if row.body is not None and schema_of(row.model or "") is None:
            found = index.find(row)
            if any(fitting.added for fitting in found) and len({fitting.candidate.tenant_id for fitting in found}) == 1:
                needing.append(row)
    return needing


def _fitting(
    row: HistoryRow, index: FittingIndex, schema_of: SchemaOf, settled: Finds | None
) -> tuple[list[Candidate], list[Candidate]]:
    """The attempts that may have made this request, and those that are passed over because others fit better.

    Without a schema, an attempt whose request has added members gets it only if none fits better, also none whose request is
    known. Of attempts of several tenants none is passed over: the upstream may have added what another tenant has sent.
    """
    if row.body is None:
        return [], []
    found = index.find(row)
    if not any(fitting.added for fitting in found):
        return [fitting.candidate for fitting in found], []
    schema = schema_of(row.model or "")
    if schema is not None:
        return [fitting.candidate for fitting in found if _adds_defaults(row, fitting, schema)], []
    if len({fitting.candidate.tenant_id for fitting in found}) > 1:
        return [fitting.candidate for fitting in found], []
    others = [] if settled is None else settled.find(row)
    fewest = min(fitting.added for fitting in [*found, *others])
    return (
        [fitting.candidate for fitting in found if fitting.added == fewest],
        [fitting.candidate for fitting in found if fitting.added > fewest],
    )


def _adds_defaults(row: HistoryRow, fitting: Fitting, schema: Mapping[str, Any]) -> bool:
    added = added_members(row.body, fitting.candidate.body)
    return added is not None and are_defaults(added, schema)


def _groups(edges: Mapping[str, Sequence[Attempt]]) -> Iterable[list[str]]:
    """Orphans that share attempts, directly or through others."""
    rows_of: dict[Attempt, list[str]] = defaultdict(list)
    for row, attempts in edges.items():
        for attempt in attempts:
            rows_of[attempt].append(row)
    seen: set[str] = set()
    for first in edges:
        if first in seen:
            continue
        seen.add(first)
        group, waiting, done = [], deque([first]), set[Attempt]()
        while waiting:
            row = waiting.popleft()
            group.append(row)
            for attempt in edges[row]:
                if attempt not in done:
                    done.add(attempt)
                    for other in rows_of[attempt]:
                        if other not in seen:
                            seen.add(other)
                            waiting.append(other)
        yield group


def _assign_group(
    edges: Mapping[str, Sequence[Attempt]],
    instants: Mapping[str, datetime],
    known: Mapping[Attempt, Candidate],
    result: Assigned,
) -> None:
    attempts = {attempt for fitting in edges.values() for attempt in fitting}
    classes = {attempt: _class_of(known[attempt]) for attempt in attempts}
    adopted: dict[str, Attempt] = {}
    is_small = sum(map(len, edges.values())) <= EDGES_MAX
    if len(set(classes.values())) == 1:
        adopted = _nearest(edges, instants, known) if is_small else _in_order(edges, known)
    elif is_small:
        adopted = _forced(edges, classes)
    result.adopted |= adopted
    taken = set(adopted.values())
    if not is_small:  # more might have got one
        result.doubtful |= attempts - taken
    for row, fitting in edges.items():
        if row in adopted:
            continue
        result.doubtful |= set(fitting) - taken
        if len({known[attempt].tenant_id for attempt in fitting}) > 1:
            result.contested[row] = list(fitting)


def _class_of(candidate: Candidate) -> Hashable:
    """Equal for interchangeable attempts. A probe of ours is like no other."""
    if candidate.tenant_id is None:
        return candidate.key
    return candidate.tenant_id, exact(candidate.body)


def _nearest(
    edges: Mapping[str, Sequence[Attempt]], instants: Mapping[str, datetime], known: Mapping[Attempt, Candidate]
) -> dict[str, Attempt]:
    """Of interchangeable attempts: as many pairs as possible, and each orphan the attempt that was sent nearest to it, if others need
    not go without. An attempt that gets its twin's request would leave its own, which may be late, to nobody."""
    near = {
        row: sorted(fitting, key=lambda attempt: abs(instants[row] - known[attempt].sent_at))
        for row, fitting in edges.items()
    }
    owner: dict[Attempt, str] = {}
    for row in sorted(edges, key=lambda row: instants[row]):
        _augment(row, near, owner, set())
    return {row: attempt for attempt, row in owner.items()}


def _in_order(edges: Mapping[str, Sequence[Attempt]], known: Mapping[Attempt, Candidate]) -> dict[str, Attempt]:
    """Of interchangeable attempts, quickly: many pairs, but perhaps not the most. The orphan with the earliest last fitting attempt
    goes first, and takes its earliest attempt."""
    adopted: dict[str, Attempt] = {}
    taken: set[Attempt] = set()
    for row in sorted(edges, key=lambda row: (known[edges[row][-1]].sent_at, known[edges[row][0]].sent_at)):
        free = next((attempt for attempt in edges[row] if attempt not in taken), None)
        if free is not None:
            taken.add(free)
            adopted[row] = free
    return adopted


def _forced(edges: Mapping[str, Sequence[Attempt]], classes: Mapping[Attempt, Hashable]) -> dict[str, Attempt]:
    """Orphans whose attempt has the same class in every assignment of all orphans. Empty if there is no such assignment."""
    owner: dict[Attempt, str] = {}
    for row in edges:
        if not _augment(row, edges, owner, set()):
            return {}
    given = {row: attempt for attempt, row in owner.items()}
    return {
        row: given[row]
        for row in edges
        if not any(
            _possible(row, attempt, edges, owner) for attempt in edges[row] if classes[attempt] != classes[given[row]]
        )
    }


def _possible(row: str, attempt: Attempt, edges: Mapping[str, Sequence[Attempt]], owner: Mapping[Attempt, str]) -> bool:
    """Whether all orphans can still be assigned if this one gets this attempt."""
    changed = {held: holder for held, holder in owner.items() if holder != row}
    displaced = changed.pop(attempt, None)
    if displaced is None:
        return True
    changed[attempt] = row
    return _augment(displaced, edges, changed, {attempt})


def _augment(row: str, edges: Mapping[str, Sequence[Attempt]], owner: dict[Attempt, str], seen: set[Attempt]) -> bool:
    """Give the orphan an attempt, moving others to other attempts if needed. Breadth first, so that a long chain cannot exhaust
    the stack."""
    came_from: dict[Attempt, str] = {}
    waiting = deque([row])
    while waiting:
        current = waiting.popleft()
        for attempt in edges[current]:
            if attempt in seen:
                continue
            seen.add(attempt)
            came_from[attempt] = current
            if attempt not in owner:
                _shift(attempt, row, came_from, owner)
                return True
            waiting.append(owner[attempt])
    return False


def _shift(attempt: Attempt, row: str, came_from: Mapping[Attempt, str], owner: dict[Attempt, str]) -> None:
    held_by = {holder: held for held, holder in owner.items()}
    while True:
        taker = came_from[attempt]
        before = held_by.get(taker)
        owner[attempt] = taker
        if taker == row:
            return
        assert before is not None
        attempt = before
