"""Writes of the reconciliation: readings, discrepancies, and costs that only the history has told."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.core.db import Row, Session, columns
from app.core.errors import NotFound
from app.jobs.models import State
from app.ledger.accounts import lock_accounts
from app.ledger.corrections import recount_usage, return_to_budgets
from app.ledger.decide import charge, uncovered
from app.ledger.models import ExposureReason
from app.ledger.operations import correct_charge
from app.ledger.settling import Exposure, expose
from app.reconciliation.decide import Discrepancy, OurJob
from app.reconciliation.models import OPEN, Kind


class DiscrepancyNotFound(NotFound):
    """404: no open discrepancy of that number."""

    code = "discrepancy_not_found"

    def __init__(self) -> None:
        super().__init__("no open discrepancy has that number")


# Equal ones are one row; one that was settled and is back is open again.
SAME = (
    "(kept.ours_micro, kept.theirs_micro) IS NOT DISTINCT FROM (excluded.ours_micro, excluded.theirs_micro)"
    " AND kept.settled_at IS NULL"
)
_NOTE = f"""
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
    ours_micro = excluded.ours_micro, theirs_micro = excluded.theirs_micro, last_seen_at = now(), settled_at = NULL,
    accepted_at = CASE WHEN {SAME} THEN kept.accepted_at END, accepted_note = CASE WHEN {SAME} THEN kept.accepted_note END
RETURNING first_seen_at = now() AS is_new
"""  # noqa: S608

_SETTLE = """
UPDATE discrepancies SET settled_at = now()
FROM unnest($1::text[], $2::text[]) AS gone (kind, subject)
WHERE discrepancies.kind = gone.kind AND discrepancies.subject = gone.subject AND settled_at IS NULL
"""

_ACCEPT = f"""
UPDATE discrepancies SET accepted_at = now(), accepted_note = $2 WHERE id = $1 AND {OPEN}
RETURNING kind, subject, tenant_id
"""  # noqa: S608

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

# Never one that is still to end: whoever ends it holds it, and waits for the balance.
_LOCK_JOB = """
SELECT cost_micro, charged_micro, finished_at FROM jobs WHERE id = $1 AND finished_at IS NOT NULL FOR UPDATE
"""

_TELL_COST = "UPDATE jobs SET cost_micro = $2, charged_micro = $3 WHERE id = $1"


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


async def accept(session: Session, *, number: int, note: str) -> Row:
    """An operator has seen to an open discrepancy: it is told no more unless its amounts change; gives its row.

    Raises DiscrepancyNotFound where there is no open one of that number.
    """
    row = await session.fetchrow(_ACCEPT, number, note)
    if row is None:
        raise DiscrepancyNotFound
    return row


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
    if row is None or row["cost_micro"] is not None:
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
        if made is None:  # an operator has corrected it before, and that stands
            due, returned = charged, 0
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
