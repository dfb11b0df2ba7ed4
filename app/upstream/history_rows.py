"""Reads rows of the upstream's request history tolerantly: names, paging and the format of instants are not published.

A run with several outputs has one row for each, and each row shows the whole cost.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from app.upstream.readings import NotRead, loads, micro
from app.upstream.wire import storable, upstream_id_of

PER_PAGE: Final = 100
_INSTANT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(Z|z|UTC|[+-]\d\d:?\d\d)?", re.ASCII
)
_WORD_CHARACTERS_MAX: Final = 200
_MILLISECONDS_FROM: Final = 10**11
"""A larger number counts milliseconds since 1970: as seconds it would be the year 5138."""


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One request in the upstream's history. None means that it did not say.

    status: COMPLETED, FAILED, PENDING, or another word of the upstream. created_at: when the upstream accepted it.
    ended_at: computed from its latency. cost_micro: micro-credits; also None while the cost is not shown yet.
    body: the parameters, numbers as int or Decimal.
    output_url: where the file of a finished request is, even after its record has expired.
    """

    upstream_id: str
    model: str | None
    status: str | None
    created_at: datetime | None
    ended_at: datetime | None
    cost_micro: int | None
    body: dict[str, Any] | None
    output_url: str | None
    error: str | None

    @property
    def charged_micro(self) -> int | None:
        """What the upstream charged, in micro-credits; None if it is not known. A failed request without a cost is free."""
        return 0 if self.cost_micro is None and self.status == "FAILED" else self.cost_micro

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.status in ("COMPLETED", "FAILED")


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """One page. skipped: how many rows named no request. more: there may be another page."""

    rows: tuple[HistoryRow, ...]
    skipped: int
    more: bool


def read_page(answer: Any, *, page: int, per_page: int = PER_PAGE) -> HistoryPage:
    """Read a list answer: `{"data": [...]}` or the list itself. Raises NotRead if it has no list."""
    found = _rows_of(answer)
    if found is None:
        raise NotRead("no_rows", transient=True)
    rows = [row for row in (read_row(one) for one in found) if row is not None]
    more = bool(found) and _says_more(answer, len(found), page, per_page)
    return HistoryPage(tuple(rows), len(found) - len(rows), more)


def read_row(given: Any) -> HistoryRow | None:
    """Read a row; None if it names no request that we could ask for."""
    if not isinstance(given, dict):
        return None
    name = given.get("request_id")
    upstream_id = upstream_id_of(json.dumps(name)) if isinstance(name, str) else None
    if upstream_id is None:
        return None
    created_at = read_instant(given.get("model_created", given.get("created_at")))
    latency = given.get("latency_ms")
    return HistoryRow(
        upstream_id=upstream_id,
        model=_word(given.get("model_name")),
        status=_word(given.get("model_status")),
        created_at=created_at,
        ended_at=_later(created_at, latency) if isinstance(latency, int | Decimal) else None,
        cost_micro=micro(given.get("credits_deduction")),
        body=_object(given.get("request_body")),
        output_url=_word(given.get("generation_url"), 8000),
        error=_word(given.get("error"), 8000),
    )


def once_each(rows: Iterable[HistoryRow]) -> list[HistoryRow]:
    """Return one row for each request, in the order of their first rows. A row with a cost is preferred."""
    kept: dict[str, HistoryRow] = {}
    for row in rows:
        before = kept.get(row.upstream_id)
        if before is None or (before.cost_micro is None and row.cost_micro is not None):
            kept[row.upstream_id] = row
    return list(kept.values())


def read_body(body: bytes) -> Any:
    """Return the parameters that we have sent, as a HistoryRow has them: numbers as int or Decimal, or text (see `loads`)."""
    return loads(body)


def holds(theirs: Any, ours: Any) -> bool:
    """Whether the parameters in a row may be those that we sent: the same values, and perhaps defaults in addition.

    Strings and numbers that read the same are equal, because both occur in either form.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(name in theirs and holds(theirs[name], value) for name, value in ours.items())
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(holds, theirs, ours))
    if isinstance(ours, bool) or isinstance(theirs, bool) or ours is None or theirs is None:
        return ours is theirs
    return ours == theirs or _number(ours) == _number(theirs) is not None


def read_instant(value: Any) -> datetime | None:
    """Read RFC 3339 and similar (UTC if it names no zone), or seconds or milliseconds since 1970; None for anything else."""
    try:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            seconds = float(value)
            return datetime.fromtimestamp(seconds / 1000 if seconds > _MILLISECONDS_FROM else seconds, UTC)
        found = _INSTANT.fullmatch(value.strip()) if isinstance(value, str) else None
        if found is None:
            return None
        day, time, zone = found.groups()
        head, _, fraction = time.partition(".")
        text = f"{day}T{head}" + (f".{fraction[:6]:0<6}" if fraction else "")
        return datetime.fromisoformat(text + ("+00:00" if zone in (None, "Z", "z", "UTC") else zone)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _later(at: datetime | None, milliseconds: int | Decimal) -> datetime | None:
    try:
        return (
            None if at is None else datetime.fromtimestamp(at.timestamp() + max(0.0, float(milliseconds) / 1000), UTC)
        )
    except (ValueError, OverflowError, OSError):
        return None


def _rows_of(answer: Any) -> list[Any] | None:
    for _ in range(2):
        if isinstance(answer, list):
            return answer
        if not isinstance(answer, dict):
            return None
        answer = next((answer[name] for name in ("data", "items", "results", "rows") if name in answer), None)
    return answer if isinstance(answer, list) else None


def _says_more(answer: Any, found: int, page: int, per_page: int) -> bool:
    """Whether there is another page, if any sign says so. One page too many costs little; one too few hides a charge."""
    told: dict[str, Any] = {}
    for part in (
        (answer, *(answer.get(name) for name in ("pagination", "meta", "data"))) if isinstance(answer, dict) else ()
    ):
        if isinstance(part, dict):
            told |= part
    size: int = told["per_page"] if _is_count(told.get("per_page")) else per_page
    return (
        bool(told.get("next_page"))
        or (_is_count(told.get("total_pages")) and page < told["total_pages"])
        or (_is_count(told.get("total")) and page * size < told["total"])
        or found >= per_page
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _word(value: Any, characters_max: int = _WORD_CHARACTERS_MAX) -> str | None:
    return storable(value[:characters_max]) if isinstance(value, str) and value else None


def _object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        try:
            value = loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _number(value: Any) -> Decimal | None:
    try:
        found = Decimal(value) if isinstance(value, int | Decimal | str) else None
    except ArithmeticError:
        return None
    return found if found is not None and found.is_finite() else None
