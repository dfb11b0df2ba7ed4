"""The request history: one row for each output, with the full cost on each. Runs appear late, and their costs later.

Rows may contradict the status. Days and instants are those of the upstream's clock, which may be wrong.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

import orjson

from app.simulator import bodies
from app.simulator.config import MICROS_PER_CREDIT
from app.simulator.gate import find_refusal, tell_instant
from app.simulator.http.http import Answer, Request, error
from app.simulator.runs import FAILURE, Run
from app.simulator.simulator import Simulator
from app.simulator.timeline import Window

_DAYS_MAX = 31
_DAYS_DEFAULT = 7
_SORT: dict[str, Callable[[Run], Any]] = {
    "model_created": lambda run: run.submitted_at,
    "model_name": lambda run: run.slug,
    "credits_deduction": lambda run: run.cost_micros,
}


class QueryError(ValueError):
    """An invalid query. The message says which parameter and why."""


def list_history(sim: Simulator, request: Request, base: str) -> Answer:
    """A page of rows: `{"data", "page", "per_page", "total"}`."""
    now = sim.now()
    refusal = find_refusal(sim, request, now, limit=sim.history_limit)
    if refusal is not None:
        return refusal
    sim.settle(now)
    asked = dict(parse_qsl(request.query))
    try:
        page = _whole(asked, "page", 1, 1_000_000)
        per_page = _whole(asked, "per_page", 20, 100)
        window = _window(sim, asked, now)
        sort_by = _one_of(asked, "sort_by", "model_created", *_SORT)
        descending = _one_of(asked, "sort_order", "desc", "desc", "asc") == "desc"
    except QueryError as problem:
        return error(400, str(problem))
    status = asked.get("status")
    if status is None and sort_by == "model_created":
        found: Iterable[Run] = sim.timeline.walk(window, descending=descending)
        total = sim.timeline.count_rows(window)
    else:  # the one listing that looks at every run of the window
        chosen = [run for run in sim.timeline.walk(window, descending=False) if status in (None, _status(run, now))]
        found = sorted(chosen, key=_SORT[sort_by], reverse=descending)
        total = sum(run.outputs for run in chosen)
    rows = ((run, number) for run in found for number in range(1, run.outputs + 1))
    shown = islice(rows, (page - 1) * per_page, page * per_page)
    data = b",".join(_row(sim, run, number, now, base) for run, number in shown)
    tail = b'],"page":%d,"per_page":%d,"total":%d}' % (page, per_page, total)
    return Answer(200, b'{"data":[' + data + tail)


def show_history(sim: Simulator, request: Request, request_id: str, base: str) -> Answer:
    """The first row of one run, of any age."""
    now = sim.now()
    refusal = find_refusal(sim, request, now, limit=sim.history_limit)
    if refusal is not None:
        return refusal
    run = sim.find_run(request_id, now)
    if run is None or run.appears_at > _seen_at(sim, now):
        return error(404, "Request not found")
    return Answer(200, _row(sim, run, 1, now, base))


def _seen_at(sim: Simulator, now: float) -> float:
    return now - sim.config.history_lag_seconds


def _status(run: Run, now: float) -> str:
    """The status that the row shows."""
    state = run.state(now)
    if state not in ("COMPLETED", "FAILED"):
        return "PENDING"
    if run.history_lies:
        return "FAILED" if state == "COMPLETED" else "COMPLETED"
    return state


def _row(sim: Simulator, run: Run, number: int, now: float, base: str) -> bytes:
    config = sim.config
    status = _status(run, now)
    done = status == "COMPLETED"
    costed = status != "PENDING" and now - run.ends_at >= config.history_cost_lag_seconds
    cost = run.cost_micros / MICROS_PER_CREDIT if done else 0.0
    head = {
        "request_id": run.request_id,
        "model_name": run.slug,
        "model_status": status,
        "model_created": tell_instant(sim, run.submitted_at),
        "credits_deduction": cost if costed else None,
    }
    tail = {
        "generation_url": bodies.output_url(run, base, number) if done and run.kind in bodies.FILES else None,
        "latency_ms": round((run.ends_at - run.submitted_at) * 1000) if status != "PENDING" else None,
        "error": (run.error or FAILURE) if status == "FAILED" else None,
    }
    sent = bodies.shown_body(run, config)
    shown = b"" if sent is None else b',"request_body":' + sent
    return orjson.dumps(head)[:-1] + shown + b"," + orjson.dumps(tail)[1:]


def _whole(asked: dict[str, str], name: str, otherwise: int, most: int) -> int:
    text = asked.get(name, str(otherwise))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise QueryError(f"{name}: expected a whole number from 1 to {most}")
    return int(text)


def _one_of(asked: dict[str, str], name: str, otherwise: str, *allowed: str) -> str:
    value = asked.get(name, otherwise)
    if value not in allowed:
        raise QueryError(f"{name}: expected one of {', '.join(allowed)}")
    return value


def _window(sim: Simulator, asked: dict[str, str], now: float) -> Window:
    """What is asked for: from the start of the first day to the end of the last day."""
    offset_seconds = sim.config.clock_offset_seconds
    today = datetime.fromtimestamp(now + offset_seconds, UTC).date()
    last = _day(asked, "to_date", today)
    first = _day(asked, "from_date", last - timedelta(days=_DAYS_DEFAULT))
    if (last - first).days > _DAYS_MAX:
        raise QueryError(f"from_date: the window may span at most {_DAYS_MAX} days")
    return Window(
        begin=_midnight(first) - offset_seconds,
        end=_midnight(last + timedelta(days=1)) - offset_seconds,
        model=asked.get("model_name", ""),
        seen_at=_seen_at(sim, now),
    )


def _day(asked: dict[str, str], name: str, otherwise: date) -> date:
    if name not in asked:
        return otherwise
    try:
        return date.fromisoformat(asked[name])
    except ValueError:
        raise QueryError(f"{name}: expected YYYY-MM-DD") from None


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
