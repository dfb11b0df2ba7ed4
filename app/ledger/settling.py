"""Settlement: post or release the hold of each ended job once, count usage, and write exposure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.core.ids import derived_id
from app.ledger.accounts import expire_returned
from app.ledger.decide import Balance, Lot, give_back
from app.ledger.holds import hold_id_of
from app.ledger.models import ExposureReason, TransferKind
from app.ledger.rows import Allocation, Exposed, Refilled, Settled, SettledBalance, Unspent

_SQL = SqlFolder(__file__)
_SETTLE_JOBS = _SQL.query("settle_jobs", SettledBalance)
_LIST_ALLOCATIONS = _SQL.query("list_allocations", Allocation)
_REFILL_LOTS = _SQL.command("refill_lots")
_RETURN_UNSPENT_TO_BUDGETS = _SQL.command("return_unspent_to_budgets")
_EXPOSE = _SQL.command("expose")
_GET_EXPOSED = _SQL.query("get_exposed", int)


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a job ended. `outcome`: completed, failed or canceled. `charged`: the part of the hold to post, in micro-credits."""

    job_id: UUID
    tenant_id: UUID
    key_id: UUID | None
    model: str
    outcome: str
    ended_at: datetime
    held: int
    charged: int
    cost: int | None
    run_seconds: float | None

    @property
    def kind(self) -> TransferKind:
        """POST if the job is charged or completed, even with a charge of 0; else RELEASE."""
        return TransferKind.POST if self.charged or self.outcome == "completed" else TransferKind.RELEASE


@dataclass(frozen=True, slots=True)
class Exposure:
    """An amount that the upstream charged, or may have charged, and no tenant pays. `upstream_id`: if it is not the job's own.
    UNASSIGNED has no job and no tenant."""

    job_id: UUID | None
    tenant_id: UUID | None
    reason: ExposureReason
    amount: int
    upstream_id: str | None = None


async def settle(session: Session, *, settlements: Sequence[Settlement]) -> None:
    """Resolve the holds of ended jobs, in the transaction that ended them. One statement; more for tenants with budgets or
    lots. Raises asyncpg.IntegrityConstraintViolationError if a hold was resolved before."""
    rows = await session.rows(_SETTLE_JOBS, **columns_of(Settled, [_settled(settlement) for settlement in settlements]))
    before: dict[UUID, Balance] = {row.tenant_id: row for row in rows if row.has_lots}
    await _return_to_lots(session, before, [settlement for settlement in settlements if settlement.tenant_id in before])
    budgeted = {row.tenant_id for row in rows if row.has_budgets}
    await _return_to_budgets(session, [settlement for settlement in settlements if settlement.tenant_id in budgeted])


async def expose(session: Session, *, exposures: Sequence[Exposure]) -> None:
    """Insert exposures. One that exists for the same job, reason and upstream id is skipped. One statement."""
    rows = [
        Exposed(exposure.job_id, exposure.tenant_id, exposure.reason, exposure.amount, exposure.upstream_id)
        for exposure in exposures
    ]
    await session.run(_EXPOSE, **columns_of(Exposed, rows))


async def correct_exposure(
    session: Session, *, job_id: UUID, tenant_id: UUID, upstream_id: str, true_micro: int
) -> None:
    """Write the difference between the exposure that a job has by now and the truth, if they differ. The caller has locked the job."""
    exposed = await session.get_value(_GET_EXPOSED, job_id=job_id)
    if exposed != true_micro:
        corrected = ExposureReason.CORRECTED if exposed else ExposureReason.LOST
        await expose(session, exposures=[Exposure(job_id, tenant_id, corrected, true_micro - exposed, upstream_id)])


def _settled(one: Settlement) -> Settled:
    return Settled(
        derived_id(one.job_id, one.kind), one.tenant_id, one.job_id, hold_id_of(one.job_id), one.kind, one.charged,
        one.ended_at, one.key_id, one.model, one.outcome, one.cost, one.run_seconds,
    )  # fmt: skip


async def _return_to_lots(session: Session, before: dict[UUID, Balance], settlements: Sequence[Settlement]) -> None:
    """Return unspent credit to the lots that the holds had drawn on; credit of expired lots expires."""
    if not settlements:
        return
    drawn: dict[UUID, list[tuple[Lot, int]]] = {}
    for row in await session.rows(
        _LIST_ALLOCATIONS, hold_ids=[hold_id_of(settlement.job_id) for settlement in settlements]
    ):
        drawn.setdefault(row.hold_id, []).append((Lot(row.lot_id, 0, row.expired), row.amount))
    refilled: list[Refilled] = []
    expired: list[tuple[UUID, UUID, int, UUID]] = []
    for settlement in settlements:
        balance = before[settlement.tenant_id]
        unspent = settlement.held - settlement.charged
        back = give_back(
            drawn.get(hold_id_of(settlement.job_id), []),
            held=settlement.held,
            returned=unspent,
            available=balance.available,
        )
        balance.held -= settlement.held
        balance.posted += settlement.charged
        balance.granted -= sum(amount for _, amount in back.expired)
        refilled += [Refilled(settlement.tenant_id, lot_id, amount) for lot_id, amount in back.to_lots]
        expired += [(settlement.tenant_id, lot_id, amount, settlement.job_id) for lot_id, amount in back.expired]
    if refilled:
        await session.run(_REFILL_LOTS, **columns_of(Refilled, refilled))
    if expired:
        await expire_returned(session, rows=expired)


async def _return_to_budgets(session: Session, settlements: Sequence[Settlement]) -> None:
    rows = [Unspent(hold_id_of(settlement.job_id), settlement.held - settlement.charged) for settlement in settlements]
    if rows:
        await session.run(_RETURN_UNSPENT_TO_BUDGETS, **columns_of(Unspent, rows))
