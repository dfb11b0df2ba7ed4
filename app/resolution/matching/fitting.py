"""Pure functions: may a request of the history be the one that an attempt has sent?

The history shows parameters value for value, but numbers may come as strings, and defaults may be added. A row without a body
or without an instant fits nobody.
"""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from app.upstream.history_rows import HistoryRow

CLOCKS: Final = timedelta(seconds=120)
"""How far the upstream's clock may be off after the offset is taken into account that the rows of our own requests show."""
SEND: Final = timedelta(seconds=30)
"""A sender that lives gives up a submit after this time."""
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attempt that may have arrived.

    sent_at, until: between these instants its request reached the upstream, if at all. waits: it is on the wire, or its sender may
    still learn the outcome. interchangeable attempts have the same tenant, model and `body`. tenant_id None: our own probe.
    """

    job_id: UUID
    attempt: int
    tenant_id: UUID | None
    model: str
    sent_at: datetime
    until: datetime
    body: Any
    waits: bool = False

    @property
    def key(self) -> tuple[UUID, int]:
        """The attempt."""
        return self.job_id, self.attempt


def could_be(row: HistoryRow, candidate: Candidate) -> bool:
    """Whether model and time agree. `row.created_at` is by our clock."""
    return (
        row.created_at is not None
        and row.model == candidate.model
        and candidate.sent_at - CLOCKS <= row.created_at <= candidate.until + CLOCKS
    )


def added_members(theirs: Any, ours: Any) -> dict[str, Any] | None:
    """Return what the row has beside our parameters, {} if nothing. None: a value differs or is missing, or something was added
    inside a value."""
    if not isinstance(theirs, dict) or not isinstance(ours, dict):
        return {} if canonical(theirs) == canonical(ours) else None
    if any(name not in theirs or canonical(theirs[name]) != canonical(value) for name, value in ours.items()):
        return None
    return {name: value for name, value in theirs.items() if name not in ours}


def are_defaults(added: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Whether each added member is a parameter of the model's schema, with its default."""
    properties = schema.get("properties")
    known: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
    return all(
        isinstance(known.get(name), dict)
        and "default" in known[name]
        and canonical(known[name]["default"]) == canonical(value)
        for name, value in added.items()
    )


def canonical(value: Any) -> Hashable:
    """Return a value that is equal for values that the upstream may show for one another: 5, 5.0 and "5" are equal; true and 1 are
    not."""
    if isinstance(value, dict):
        return ("object", *sorted((name, canonical(inner)) for name, inner in value.items()))
    if isinstance(value, list):
        return ("list", *map(canonical, value))
    if value is None or isinstance(value, bool):
        return ("constant", str(value))
    if isinstance(value, int | float | Decimal) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        return ("number", _digits(Decimal(str(value))))
    return ("text", value)


def _digits(number: Decimal) -> str:
    """Return the same text for equal numbers, with all their digits. `Decimal.normalize` rounds, and overflows."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return str(number)  # not a number, or infinite
    text = "".join(map(str, digits)).lstrip("0")
    kept = text.rstrip("0")
    return f"{'-' * sign}{kept}e{exponent + len(text) - len(kept)}" if kept else "0"


def exact(value: Any) -> Hashable:
    """Return a value that is equal only for equal parameters: 5 and "5" differ, and so do true and 1."""
    if isinstance(value, dict):
        return ("object", *sorted((name, exact(inner)) for name, inner in value.items()))
    if isinstance(value, list):
        return ("list", *map(exact, value))
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return canonical(value)
    return (type(value).__name__, value)
