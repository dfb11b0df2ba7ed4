"""Writes of the reconciliation: readings, discrepancies, and costs that only the history has."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.core.errors import NotFound
from app.jobs.models import State
from app.ledger.accounts import lock_accounts
from app.ledger.corrections import recount_usage, return_to_budgets
from app.ledger.decide import charge, uncovered
from app.ledger.models import ExposureReason
from app.ledger.operations import correct_charge
from app.ledger.settling import Exposure, correct_exposure, expose
from app.reconciliation.decide import Discrepancy, OurJob
from app.reconciliation.models import DiscrepancyKind


class DiscrepancyNotFound(NotFound):
    """404: no open discrepancy has this number."""

    code = "discrepancy_not_found"

    def __init__(self) -> None:
        super().__init__("no open discrepancy with this number")


class _Noted(NamedTuple):
    """The parameters of `note_discrepancies.sql`."""

    kind: str
    subject: str
    job_id: UUID | None
    tenant_id: UUID | None
    upstream_id: str | None
    model: str | None
    ours_micro: int | None
    theirs_micro: int | None
    happened_at: datetime | None


class _Gone(NamedTuple):
    kind: str
    subject: str


class Accepted(NamedTuple):
    """A discrepancy that an operator has accepted."""

    kind: str
    subject: str
    tenant_id: UUID | None


class _EndedJob(NamedTuple):
    cost_micro: int | None
    charged_micro: int
    finished_at: datetime


_SQL = SqlFolder(__file__)
_NOTE_DISCREPANCIES = _SQL.query("note_discrepancies", bool)
_SETTLE_DISCREPANCIES = _SQL.command("settle_discrepancies")
_SETTLE_OTHERS = _SQL.command("settle_others")
_LOOK_AGAIN = _SQL.command("look_again")
_ACCEPT_DISCREPANCY = _SQL.query("accept_discrepancy", Accepted)
_KEEP_READING = _SQL.query("keep_reading", int)
_LOCK_ENDED_JOB = _SQL.query("lock_ended_job", _EndedJob)
_SET_COST = _SQL.command("set_cost")


async def note(session: Session, *, discrepancies: Sequence[Discrepancy]) -> int:
    """Store discrepancies. Return how many are new."""
    if not discrepancies:
        return 0
    rows = [
        _Noted(
            discrepancy.kind, discrepancy.subject, discrepancy.job_id, discrepancy.tenant_id, discrepancy.upstream_id, discrepancy.model, discrepancy.ours, discrepancy.theirs,
            discrepancy.happened_at,
        )
        for discrepancy in discrepancies
    ]  # fmt: skip
    return sum(await session.values(_NOTE_DISCREPANCIES, **columns_of(_Noted, rows)))


async def settle(session: Session, *, gone: Sequence[tuple[DiscrepancyKind, str]]) -> int:
    """Settle these (kind, subject): they no longer differ. Return how many were open."""
    rows = [_Gone(*one) for one in gone]
    return await session.run(_SETTLE_DISCREPANCIES, **columns_of(_Gone, rows)) if rows else 0


async def look_again(session: Session, *, kind: DiscrepancyKind, subject: str) -> None:
    """Record that an open discrepancy was checked: others are checked next."""
    await session.run(_LOOK_AGAIN, kind=kind, subject=subject)


async def accept(session: Session, *, number: int, note: str) -> Accepted:
    """Accept an open discrepancy for an operator: it is no longer shown unless its amounts change. Return its row.

    Raises DiscrepancyNotFound if no open discrepancy has this number.
    """
    row = await session.find_row(_ACCEPT_DISCREPANCY, id=number, note=note)
    if row is None:
        raise DiscrepancyNotFound
    return row


async def settle_others(session: Session, *, kind: DiscrepancyKind, but: Sequence[str]) -> int:
    """Settle those of a kind that were not found. Return how many were open."""
    return await session.run(_SETTLE_OTHERS, kind=kind, subjects=list(but))


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
    """Store a reading. Return its id. `compared`: (id of the reading before, spent, least, most); None for the first."""
    previous_id, spent_micro, least_micro, most_micro = compared or (None, None, None, None)
    return await session.get_value(
        _KEEP_READING, asked_at=asked_at, at=at, paid_micro=paid_micro, free_micro=free_micro, previous_id=previous_id,
        spent_micro=spent_micro, least_micro=least_micro, most_micro=most_micro, topped_up_micro=topped_up_micro,
    )  # fmt: skip


async def tell_cost(session: Session, *, job: OurJob, cost_micro: int) -> int | None:
    """Store a cost that only the history has, once, and return to the tenant what the job was charged too much. Return that
    amount; None if the job has a cost by now."""
    await lock_accounts(session, tenant_ids=[job.tenant_id])
    ended = await session.find_row(_LOCK_ENDED_JOB, job_id=job.id)
    if ended is None or ended.cost_micro is not None:
        return None
    charged = due = ended.charged_micro
    if charged:
        due = min(
            charged, charge(price_rule=job.price_rule, markup_micro=job.markup_micro, held=job.held, cost=cost_micro)
        )
    returned = charged - due
    if returned:
        note = "the cost became known, and is below the hold"
        made = await correct_charge(session, tenant_id=job.tenant_id, job_id=job.id, amount_micro=returned, note=note)
        if made is None:  # an operator has already corrected the charge, and that correction remains
            due, returned = charged, 0
        else:
            await return_to_budgets(session, job_id=job.id, returned_micro=returned)
    await session.run(_SET_COST, job_id=job.id, cost_micro=cost_micro, charged_micro=due)
    await recount_usage(
        session, tenant_id=job.tenant_id, key_id=job.key_id, model=job.model, ended_at=ended.finished_at,
        returned_micro=returned, cost_micro=cost_micro,
    )  # fmt: skip
    if due or job.state is State.COMPLETED:
        await expose(session, exposures=_uncovered(job, due, cost_micro))
    else:  # an expected amount may have been written before
        await correct_exposure(
            session,
            job_id=job.id,
            tenant_id=job.tenant_id,
            upstream_id=job.upstream_id or "",
            true_micro=cost_micro - due,
        )
    return returned


async def expose_start(session: Session, *, job_id: UUID, tenant_id: UUID, upstream_id: str, cost_micro: int) -> None:
    """Record the exposure of a second start: no tenant pays its cost."""
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
