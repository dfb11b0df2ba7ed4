"""What a probe has seen: shapes of answers, times in the history, headers about limits; and the facts that follow."""

from dataclasses import dataclass, field
from typing import Any

from app.probe.models import FactName
from app.probe.shapes import (
    Shape,
    body_form,
    instant_form,
    limit_headers,
    polls_are_counted,
    remaining,
    shape_of,
    split_page,
)
from app.upstream.classify import Exchange
from app.upstream.history_rows import HistoryRow, holds, read_row
from app.upstream.readings import NotRead, parse

RUNNING = "running"
VALUES_MAX = 5
"""Values of one header that are kept."""


@dataclass(slots=True)
class Answer:
    """One kind of answer. of: the state of the job when it came. count: how often it came. shape: of its first body."""

    call: str
    of: str
    code: int | None
    failure: str | None
    shape: Shape
    count: int = 1


@dataclass(slots=True)
class InHistory:
    """Times since the submit, in seconds, at which the history was first seen to have the row, its end, its cost."""

    row: float | None = None
    end: float | None = None
    cost: float | None = None
    pending: bool = False
    absent_while_running: float | None = None
    """When the job was last running and had no row."""
    rows: int = 0
    by_id: bool | None = None
    paging: list[str] | None = None
    instant: str | None = None
    form: str | None = None
    added: list[str] = field(default_factory=list)
    fits: bool | None = None
    status: str | None = None
    cost_micro: int | None = None


class Seen:
    """Collects what one probe sees. `body`: the parameters that it sent. All times are seconds since the submit."""

    def __init__(self, body: Any) -> None:
        self.answers: list[Answer] = []
        self.history = InHistory()
        self.ended: float | None = None
        self.limits: dict[str, list[str]] = {}
        self._body = body
        self._left: list[int] = []
        self._poll_refused = False

    def note(self, call: str, of: str, exchange: Exchange) -> Any:
        """Keep the answer's shape and its headers about limits. Return its JSON, or None if it has none."""
        for name, value in limit_headers(exchange.headers).items():
            values = self.limits.setdefault(name, [])
            if value not in values and len(values) < VALUES_MAX:
                values.append(value)
        value = _json(exchange)
        for one in self.answers:
            if (one.call, one.of, one.code, one.failure) == (call, of, exchange.status_code, exchange.failure):
                one.count += 1
                return value
        shape = shape_of(value) if value is not None or exchange.body.strip() == b"null" else "no JSON"
        self.answers.append(Answer(call, of, exchange.status_code, exchange.failure, shape))
        return value

    def note_poll(self, of: str, exchange: Exchange) -> None:
        """Keep the answer to a poll, and what it says of the limit."""
        self.note("status", of, exchange)
        self._poll_refused |= exchange.status_code == 429
        left = remaining(exchange.headers)
        if left is not None:
            self._left.append(left)

    def note_page(self, exchange: Exchange, upstream_id: str | None) -> tuple[list[HistoryRow], list[Any], int]:
        """Keep a page of the history. Return its rows, those of this request as they came, and how many it has."""
        rows, paging = split_page(self.note("history", "page", exchange))
        if exchange.status_code == 200 and self.history.paging is None:
            self.history.paging = sorted(paging)
        mine = [one for one in rows if names(one, upstream_id)]
        read = [row for row in map(read_row, rows) if row is not None]
        return read, mine, len(rows)

    def note_rows(self, rows: list[Any], *, at: float, running: bool) -> None:
        """Keep what this request's rows say. running: whether the job had not ended when they were asked for."""
        history = self.history
        if not rows:
            if running:
                history.absent_while_running = at
            return
        first = rows[0]
        read = read_row(first)
        if read is None:
            return
        self._note_shape(first, read.status or "-")
        history.row = at if history.row is None else history.row
        history.rows = max(history.rows, len(rows))
        history.status = read.status
        history.pending |= not read.ended
        history.instant = instant_form(first.get("model_created", first.get("created_at")))
        history.form = body_form(first.get("request_body"))
        if read.body is not None:
            history.added = sorted(read.body.keys() - self._body.keys())
            history.fits = holds(read.body, self._body)
        if read.ended and history.end is None:
            history.end = at
        cost = next((one.cost_micro for one in map(read_row, rows) if one and one.cost_micro is not None), None)
        if read.ended and cost is not None and history.cost is None:
            history.cost, history.cost_micro = at, cost

    def _note_shape(self, row: Any, status: str) -> None:
        if all((one.call, one.of) != ("row", status) for one in self.answers):
            self.answers.append(Answer("row", status, None, None, shape_of(row)))

    @property
    def history_done(self) -> bool:
        """Whether the history has told all that it will tell. A failed job may have no cost."""
        history = self.history
        return history.end is not None and (history.cost is not None or history.status == "FAILED")

    def facts(self) -> dict[FactName, Any]:
        """Return what follows from all that was seen, without what could not be told."""
        found: dict[FactName, Any] = {**self._codes(), **self._of_history()}
        if self.limits:
            found[FactName.LIMIT_HEADERS] = sorted(self.limits)
        found[FactName.POLLS_ARE_COUNTED] = True if self._poll_refused else polls_are_counted(self._left)
        return {name: value for name, value in found.items() if value is not None}

    def _codes(self) -> dict[FactName, Any]:
        def code(call: str, *states: str) -> int | None:
            return next(
                (one.code for one in self.answers if one.call == call and one.of in states and one.code != 429), None
            )

        return {
            FactName.STATUS_CODE_WHILE_RUNNING: code("status", "QUEUED", "PROCESSING"),
            FactName.STATUS_CODE_OF_COMPLETED: code("status", "COMPLETED"),
            FactName.STATUS_CODE_OF_FAILED: code("status", "FAILED"),
            FactName.RESULT_CODE_WHILE_RUNNING: code("result", RUNNING),
            FactName.RESULT_CODE_OF_COMPLETED: code("result", "COMPLETED"),
            FactName.RESULT_CODE_OF_FAILED: code("result", "FAILED"),
        }

    def _of_history(self) -> dict[FactName, Any]:
        history = self.history
        if history.row is None:
            return {FactName.HISTORY_PAGING_KEYS: history.paging}
        return {
            FactName.HISTORY_LAG_SECONDS: round(history.row, 1),
            FactName.HISTORY_END_LAG_SECONDS: self._since_end(history.end),
            FactName.HISTORY_COST_LAG_SECONDS: self._since_end(history.cost),
            FactName.HISTORY_SHOWS_PENDING: self._shows_pending(),
            FactName.HISTORY_BODY_FORM: history.form,
            FactName.HISTORY_ADDS_DEFAULTS: None if history.fits is None else bool(history.added),
            FactName.HISTORY_BODY_FITS: history.fits,
            FactName.HISTORY_INSTANT_FORM: history.instant,
            FactName.HISTORY_PAGING_KEYS: history.paging,
            FactName.HISTORY_FINDS_BY_ID: history.by_id,
            FactName.HISTORY_ROWS: history.rows or None,
        }

    def _since_end(self, at: float | None) -> float | None:
        return None if at is None or self.ended is None else round(max(0.0, at - self.ended), 1)

    def _shows_pending(self) -> bool | None:
        """A job that runs has no row if it was looked for later after its submit than its row appeared after its end: the
        lag does not explain that."""
        history = self.history
        if history.pending:
            return True
        if history.row is None or self.ended is None or history.absent_while_running is None:
            return None
        return False if history.absent_while_running > history.row - self.ended else None


def _json(exchange: Exchange) -> Any:
    if exchange.failure is not None or not exchange.body:
        return None
    try:
        return parse(exchange.body)
    except NotRead:
        return None


def names(row: Any, upstream_id: str | None) -> bool:
    """Whether a row of the history is of this request."""
    return upstream_id is not None and isinstance(row, dict) and row.get("request_id") == upstream_id
