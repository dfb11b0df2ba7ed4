"""Runs of the reconciliation: one at a time, believed to be alive by its lease, closed once."""

from dataclasses import dataclass
from datetime import datetime

from app.core.db import Row, Session
from app.core.errors import Conflict
from app.reconciliation.models import Result

LEASE_SECONDS = 2400.0
"""A run that has not written for so long is dead: adding up every transfer may take half an hour."""
DAILY_SECONDS = 86_400.0
RETRY_SECONDS = 900.0
"""After a run that could not read everything, or whose process died."""
FIRST_SECONDS = 86_400.0
"""How far the first run looks back."""
OVERLAP_SECONDS = 86_400.0
"""How far each further one looks back beyond the last: rows land late."""


class ReconciliationRunning(Conflict):
    """409: there is one under way."""

    code = "reconciliation_running"

    def __init__(self) -> None:
        super().__init__("a reconciliation is under way already: see ops.reconciliations")


class RunLost(Exception):
    """Another process took this run for dead, and closed it."""


_ABANDON = """
UPDATE reconciliations SET finished_at = now(), result = 'abandoned', detail = 'its process died'
WHERE finished_at IS NULL AND lease_until < now()
"""

# Begin one as asked, unless one is under way.
_BEGIN = """
INSERT INTO reconciliations (asked_by, since, until, lease_until)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))
ON CONFLICT ((finished_at IS NULL)) WHERE finished_at IS NULL DO NOTHING
RETURNING id, since, until
"""

# Begin the daily one if it is due: a cut one is gone on with at once, from where it stopped; one that could not read
# everything is tried again before the day is over.
_BEGIN_DUE = """
WITH last AS (
    SELECT started_at, finished_at, result, read_until FROM reconciliations
    WHERE asked_by IS NULL ORDER BY id DESC LIMIT 1
), reached AS (
    SELECT read_until FROM reconciliations
    WHERE asked_by IS NULL AND read_until IS NOT NULL ORDER BY id DESC LIMIT 1
), due AS (
    SELECT
        now() - make_interval(secs => $1) AS until,
        coalesce(
            (SELECT read_until FROM last WHERE result = 'cut'),
            (SELECT read_until - make_interval(secs => $2) FROM reached),
            now() - make_interval(secs => $1 + $3)
        ) AS since
    WHERE coalesce((SELECT CASE
        WHEN result = 'cut' THEN true
        WHEN result IN ('incomplete', 'abandoned') THEN finished_at < now() - make_interval(secs => $5)
        ELSE started_at < now() - make_interval(secs => $4)
    END FROM last), true)
)
INSERT INTO reconciliations (since, until, lease_until)
SELECT since, until, now() + make_interval(secs => $6) FROM due WHERE since < until
ON CONFLICT ((finished_at IS NULL)) WHERE finished_at IS NULL DO NOTHING
RETURNING id, since, until
"""

_HOLD = """
UPDATE reconciliations SET lease_until = now() + make_interval(secs => $2) WHERE id = $1 AND finished_at IS NULL
"""

_FINISH = """
UPDATE reconciliations SET
    finished_at = now(), lease_until = NULL, read_until = $2, result = $3, detail = $4, history_rows = $5, skipped = $6,
    compared = $7, filled = $8, adjusted_micro = $9, topped_up_micro = $10, found = $11, settled = $12
WHERE id = $1 AND finished_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A reconciliation under way."""

    id: int
    since: datetime
    until: datetime


@dataclass(slots=True)
class Tally:
    """What a run has come to."""

    read_until: datetime | None = None
    history_rows: int = 0
    skipped: int = 0
    compared: int = 0
    filled: int = 0
    adjusted_micro: int = 0
    topped_up_micro: int = 0
    found: int = 0
    settled: int = 0


async def begin(session: Session, *, asked_by: str, since: datetime, until: datetime) -> Run:
    """A run that somebody asked for; raises ReconciliationRunning."""
    await session.execute(_ABANDON)
    row = await session.fetchrow(_BEGIN, asked_by, since, until, LEASE_SECONDS)
    if row is None:
        raise ReconciliationRunning
    return _run(row)


async def begin_due(session: Session, *, settle_seconds: float) -> Run | None:
    """The daily run, if it is due and nobody else's; two at once get one."""
    await session.execute(_ABANDON)
    row = await session.fetchrow(
        _BEGIN_DUE, settle_seconds, OVERLAP_SECONDS, FIRST_SECONDS, DAILY_SECONDS, RETRY_SECONDS, LEASE_SECONDS
    )
    return None if row is None else _run(row)


async def hold_run(session: Session, *, run: Run) -> None:
    """Say that it is alive; raises RunLost where somebody has closed it."""
    if await session.execute(_HOLD, run.id, LEASE_SECONDS) == 0:
        raise RunLost


async def finish(session: Session, *, run: Run, result: Result, detail: str, tally: Tally) -> None:
    """Close it; raises RunLost."""
    told = (
        tally.read_until, result, detail, tally.history_rows, tally.skipped, tally.compared, tally.filled,
        tally.adjusted_micro, tally.topped_up_micro, tally.found, tally.settled,
    )  # fmt: skip
    if await session.execute(_FINISH, run.id, *told) == 0:
        raise RunLost


def _run(row: Row) -> Run:
    return Run(row["id"], row["since"], row["until"])
