"""Runs of the reconciliation: at most one at a time, each with a lease, closed exactly once."""

from dataclasses import dataclass, fields
from datetime import datetime

from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.core.errors import Conflict
from app.reconciliation.models import Result

LEASE_SECONDS = 2400.0
"""A run that did not renew its lease for so long is dead. To add up all transfers may take half an hour."""
DAILY_SECONDS = 86_400.0
RETRY_SECONDS = 900.0
"""The delay after a run that could not read everything, or whose process died."""
FIRST_SECONDS = 86_400.0
"""How far the first run looks back."""
OVERLAP_SECONDS = 86_400.0
"""How far each later run looks back beyond the last: rows appear late."""


class ReconciliationRunning(Conflict):
    """409: a reconciliation is already running."""

    code = "reconciliation_running"

    def __init__(self) -> None:
        super().__init__("a reconciliation is already running: see ops.reconciliations")


class RunLost(Exception):
    """Another process considered this run dead, and closed it."""


@dataclass(frozen=True, slots=True)
class Run:
    """A reconciliation that is running."""

    id: int
    since: datetime
    until: datetime


@dataclass(slots=True)
class Tally:
    """The counts and amounts of a run."""

    read_until: datetime | None = None
    history_rows: int = 0
    skipped: int = 0
    compared: int = 0
    filled: int = 0
    adjusted_micro: int = 0
    topped_up_micro: int = 0
    found: int = 0
    settled: int = 0


_SQL = SqlFolder(__file__)
_ABANDON_DEAD_RUN = _SQL.command("abandon_dead_run")
_BEGIN_RUN = _SQL.query("begin_run", Run)
_BEGIN_DUE_RUN = _SQL.query("begin_due_run", Run)
_HOLD_RUN = _SQL.command("hold_run")
_FINISH_RUN = _SQL.command("finish_run")


async def begin(session: Session, *, asked_by: str, since: datetime, until: datetime) -> Run:
    """Begin a run on demand. Raises ReconciliationRunning."""
    await session.run(_ABANDON_DEAD_RUN)
    run = await session.find_row(_BEGIN_RUN, asked_by=asked_by, since=since, until=until, lease_seconds=LEASE_SECONDS)
    if run is None:
        raise ReconciliationRunning
    return run


async def begin_due(session: Session, *, settle_seconds: float) -> Run | None:
    """Begin the daily run if it is due and no run is open. Of two concurrent calls one gets it."""
    await session.run(_ABANDON_DEAD_RUN)
    return await session.find_row(
        _BEGIN_DUE_RUN, settle_seconds=settle_seconds, overlap_seconds=OVERLAP_SECONDS, first_seconds=FIRST_SECONDS,
        daily_seconds=DAILY_SECONDS, retry_seconds=RETRY_SECONDS, lease_seconds=LEASE_SECONDS,
    )  # fmt: skip


async def hold_run(session: Session, *, run: Run) -> None:
    """Renew the run's lease. Raises RunLost if another process has closed the run."""
    if await session.run(_HOLD_RUN, run_id=run.id, lease_seconds=LEASE_SECONDS) == 0:
        raise RunLost


async def finish(session: Session, *, run: Run, result: Result, detail: str, tally: Tally) -> None:
    """Close the run. Raises RunLost."""
    closed = await session.run(
        _FINISH_RUN, run_id=run.id, result=result, detail=detail,
        **{field.name: getattr(tally, field.name) for field in fields(tally)},
    )  # fmt: skip
    if closed == 0:
        raise RunLost
