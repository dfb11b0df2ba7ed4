"""Writes of the reconciliation: runs, readings, discrepancies, and costs that only the history has told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.db import Row, Session, columns
from app.core.errors import Conflict
from app.jobs.models import State
from app.ledger.accounts import lock_accounts
from app.ledger.corrections import recount_usage, return_to_budgets
from app.ledger.decide import charge, uncovered
from app.ledger.models import ExposureReason
from app.ledger.operations import correct_charge
from app.ledger.settling import Exposure, expose
from app.reconciliation.decide import Discrepancy, OurJob
from app.reconciliation.models import Kind, Result

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

# Equal ones are one row; one that was settled and is back is open again.
_NOTE = """
WITH asked AS (
    SELECT DISTINCT ON (kind, subject) * FROM unnest(
        $1::text[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
        $9::timestamptz[]
    ) AS t (kind, subject, job_id, tenant_id, upstream_id, model, ours_micro, theirs_micro, happened_at)
    ORDER BY kind, subject
)
INSERT INTO discrepancies AS kept (
    kind, subject, job_id, tenant_id, upstream_id, model, ours_micro, theirs_micro, happened_at
)
SELECT * FROM asked
ON CONFLICT (kind, subject) DO UPDATE SET
    job_id = excluded.job_id, tenant_id = excluded.tenant_id, model = coalesce(excluded.model, kept.model),
    ours_micro = excluded.ours_micro, theirs_micro = excluded.theirs_micro, last_seen_at = now(), settled_at = NULL
RETURNING first_seen_at = now() AS is_new
"""

_SETTLE = """
UPDATE discrepancies SET settled_at = now()
FROM unnest($1::text[], $2::text[]) AS gone (kind, subject)
WHERE discrepancies.kind = gone.kind AND discrepancies.subject = gone.subject AND settled_at IS NULL
"""

_SETTLE_OTHERS = """
UPDATE discrepancies SET settled_at = now()
WHERE kind = $1 AND settled_at IS NULL AND subject <> ALL($2::text[])
"""

_READING = """
INSERT INTO credit_readings (
    asked_at, at, paid_micro, free_micro, previous_id, spent_micro, least_micro, most_micro, topped_up_micro
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id
"""

_LOCK_JOB = "SELECT cost_micro, charged_micro, finished_at FROM jobs WHERE id = $1 FOR UPDATE"

_TELL_COST = "UPDATE jobs SET cost_micro = $2, charged_micro = $3 WHERE id = $1"


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


async def note(session: Session, *, discrepancies: Sequence[Discrepancy]) -> int:
    """Write down what differs; gives how many of them are new."""
    if not discrepancies:
        return 0
    rows = [
        (
            one.kind, one.subject, one.job_id, one.tenant_id, one.upstream_id, one.model, one.ours, one.theirs,
            one.happened_at,
        )
        for one in discrepancies
    ]  # fmt: skip
    return sum(row["is_new"] for row in await session.fetch(_NOTE, *columns(rows, 9)))


async def settle(session: Session, *, gone: Sequence[tuple[Kind, str]]) -> int:
    """These (kind, subject) are told alike now; gives how many had been open."""
    return await session.execute(_SETTLE, *columns(gone, 2)) if gone else 0


async def look_again(session: Session, *, kind: Kind, subject: str) -> None:
    """It was asked about, and is still open: others are next."""
    await session.execute(
        "UPDATE discrepancies SET last_seen_at = now() WHERE kind = $1 AND subject = $2 AND settled_at IS NULL",
        kind,
        subject,
    )


async def settle_others(session: Session, *, kind: Kind, but: Sequence[str]) -> int:
    """Those of a kind that were not found this time; gives how many had been open."""
    return await session.execute(_SETTLE_OTHERS, kind, list(but))


async def keep_reading(
    session: Session,
    *,
    asked_at: datetime,
    at: datetime,
    paid_micro: int,
    free_micro: int,
    compared: tuple[int, int, int, int] | None,
    topped_up_micro: int,
) -> int:
    """Keep a reading; gives its number. `compared`: (the reading before, spent, least, most), None for the first."""
    number: int = await session.fetchval(
        _READING, asked_at, at, paid_micro, free_micro, *(compared or (None, None, None, None)), topped_up_micro
    )
    return number


async def tell_cost(session: Session, *, job: OurJob, cost_micro: int) -> int | None:
    """Write down a cost that only the history has told, once, and give back what the job was charged too much; gives how
    much that is. None where it was told meanwhile."""
    await lock_accounts(session, tenant_ids=[job.tenant_id])
    row = await session.fetchrow(_LOCK_JOB, job.id)
    if row is None or row["cost_micro"] is not None or row["finished_at"] is None:
        return None
    charged: int = row["charged_micro"]
    due = charged
    if charged:
        due = min(
            charged, charge(price_rule=job.price_rule, markup_micro=job.markup_micro, held=job.held, cost=cost_micro)
        )
    returned = charged - due
    if returned:
        note = "the cost became known, and is below the hold"
        made = await correct_charge(session, tenant_id=job.tenant_id, job_id=job.id, amount_micro=returned, note=note)
        if made is None:  # an operator was quicker; a charge is corrected once, and theirs is the last word
            returned, due = 0, charged
        else:
            await return_to_budgets(session, job_id=job.id, returned_micro=returned)
    await session.execute(_TELL_COST, job.id, cost_micro, due)
    await recount_usage(
        session, tenant_id=job.tenant_id, key_id=job.key_id, model=job.model, ended_at=row["finished_at"],
        returned_micro=returned, cost_micro=cost_micro,
    )  # fmt: skip
    await expose(session, exposures=_uncovered(job, due, cost_micro))
    return returned


async def expose_start(session: Session, *, job_id: UUID, tenant_id: UUID, upstream_id: str, cost_micro: int) -> None:
    """A second start of a job has cost so much, and no tenant pays it."""
    one = Exposure(job_id, tenant_id, ExposureReason.SECOND_START, cost_micro, upstream_id)
    await expose(session, exposures=[one])


def _uncovered(job: OurJob, charged: int, cost: int) -> list[Exposure]:
    if job.state is State.COMPLETED or charged:
        left = uncovered(
            price_rule=job.price_rule, markup_micro=job.markup_micro, held=job.held, charged=charged, cost=cost
        )
        return [] if left is None else [Exposure(job.id, job.tenant_id, *left)]
    left_over = cost - charged
    return [Exposure(job.id, job.tenant_id, ExposureReason.LOST, left_over)] if left_over > 0 else []


def _run(row: Row) -> Run:
    return Run(row["id"], row["since"], row["until"])
