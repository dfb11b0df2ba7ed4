"""Writes of operators: grants, adjustments, corrected charges, overdrafts, budgets."""

from datetime import datetime
from uuid import UUID

from app.core.credits import AMOUNT_MAX, show_credits
from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.core.errors import Conflict, Malformed, NotFound, malformed_field
from app.core.ids import derived_id, new_id
from app.ledger.accounts import lock_accounts
from app.ledger.decide import Account, filled
from app.ledger.models import Period, TransferKind
from app.ledger.rows import Transfer

_SQL = SqlFolder(__file__)
_FIND_GRANT = _SQL.query("find_grant", Transfer)
_FIND_TRANSFER = _SQL.query("find_transfer", bool)
_GRANT_CREDITS = _SQL.query("grant_credits", Transfer)
_ADJUST_BALANCE = _SQL.query("adjust_balance", Transfer)
_SHRINK_LOTS = _SQL.command("shrink_lots")
_CORRECT_CHARGE = _SQL.query("correct_charge", Transfer)
_SET_OVERDRAFT = _SQL.command("set_overdraft")
_SET_BUDGET = _SQL.command("set_budget")
_LIFT_BUDGET = _SQL.command("lift_budget")


class ReferenceTaken(Conflict):
    """409: a grant with this reference exists, and has another amount."""

    code = "reference_taken"

    def __init__(self, amount_micro: int) -> None:
        super().__init__(f"a grant with this reference already exists, with the amount {show_credits(amount_micro)}")


class OverdraftExceeded(Conflict):
    """409: the balance would be below zero by more than the overdraft."""

    code = "overdraft_exceeded"

    def __init__(self) -> None:
        super().__init__("the balance would fall below the limit of its overdraft")


class AccountNotFound(NotFound):
    """404: no tenant has this id."""

    code = "tenant_not_found"

    def __init__(self) -> None:
        super().__init__("no such tenant")


async def grant(
    session: Session,
    *,
    tenant_id: UUID,
    amount_micro: int,
    reference: str,
    note: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[Transfer, bool]:
    """Grant credits. Returns the transfer, and whether it is new: the same reference and amount give the existing grant.

    A repeated call may have another expiry, because callers compute it from the current time. The grant keeps its first
    expiry. Raises ReferenceTaken if the existing grant has another amount, AccountNotFound, Malformed.
    """
    _checked_amount(amount_micro)
    account = await _locked(session, tenant_id=tenant_id)
    there = await session.find_row(_FIND_GRANT, tenant_id=tenant_id, reference=reference)
    if there is not None:
        if there.amount != amount_micro:
            raise ReferenceTaken(there.amount)
        return there, False
    made = await session.get_row(
        _GRANT_CREDITS, id=derived_id(tenant_id, f"{TransferKind.GRANT} {reference}"), tenant_id=tenant_id, amount=amount_micro,
        reference=reference, note=note, expires_at=expires_at, left_micro=filled(amount_micro, account.balance.available),
    )  # fmt: skip
    return made, True


async def adjust(session: Session, *, tenant_id: UUID, amount_micro: int, note: str) -> Transfer:
    """Correct a balance by what the tenant gains (negative: loses). Returns the transfer.

    Raises OverdraftExceeded (before any write), AccountNotFound, Malformed.
    """
    _checked_amount(abs(amount_micro))
    account = await _locked(session, tenant_id=tenant_id)
    balance = account.balance
    if balance.spendable + amount_micro < 0:
        raise OverdraftExceeded
    if amount_micro < 0 and balance.expiring:
        await session.run(_SHRINK_LOTS, tenant_id=tenant_id, available=max(0, balance.available + amount_micro))
    return await session.get_row(_ADJUST_BALANCE, id=new_id(), tenant_id=tenant_id, amount=amount_micro, note=note)


async def correct_charge(
    session: Session, *, tenant_id: UUID, job_id: UUID, amount_micro: int, note: str, name: str = TransferKind.ADJUST
) -> Transfer | None:
    """Return the excess of a job's charge. Returns the transfer, or None if this job's charge was corrected before under this
    `name`.

    The caller lowers `charged_micro` of the job in the same transaction. Raises AccountNotFound.
    """
    await _locked(session, tenant_id=tenant_id)
    transfer_id = derived_id(job_id, name)
    if await session.find_value(_FIND_TRANSFER, id=transfer_id):
        return None
    return await session.find_row(
        _CORRECT_CHARGE, id=transfer_id, tenant_id=tenant_id, amount=amount_micro, job_id=job_id, note=note
    )


async def set_overdraft(session: Session, *, tenant_id: UUID, overdraft_micro: int) -> None:
    """Set how far below zero the balance may go. Raises OverdraftExceeded if it is already lower, AccountNotFound,
    Malformed."""
    if not 0 <= overdraft_micro <= AMOUNT_MAX:
        raise _out_of_range("overdraft")
    account = await _locked(session, tenant_id=tenant_id)
    if account.balance.available < -overdraft_micro:
        raise OverdraftExceeded
    await session.run(_SET_OVERDRAFT, tenant_id=tenant_id, overdraft=overdraft_micro)


async def set_budget(
    session: Session, *, tenant_id: UUID, subject_id: UUID, period: Period, limit_micro: int | None
) -> None:
    """Set what a tenant or one of its keys may spend in a UTC day or month. None deletes the budget. A new budget counts what
    was spent in the current period. Raises AccountNotFound, Malformed."""
    await _locked(session, tenant_id=tenant_id)
    if limit_micro is None:
        await session.run(_LIFT_BUDGET, subject_id=subject_id, period=period)
        return
    if not 0 <= limit_micro <= AMOUNT_MAX:
        raise _out_of_range(f"{'daily' if period is Period.DAY else 'monthly'}_credits")
    await session.run(_SET_BUDGET, subject_id=subject_id, period=period, tenant_id=tenant_id, limit_micro=limit_micro)


async def _locked(session: Session, *, tenant_id: UUID) -> Account:
    accounts = await lock_accounts(session, tenant_ids=[tenant_id])
    if tenant_id not in accounts:
        raise AccountNotFound
    return accounts[tenant_id]


def _checked_amount(amount_micro: int) -> None:
    if not 0 < amount_micro <= AMOUNT_MAX:
        raise _out_of_range("amount")


def _out_of_range(field: str) -> Malformed:
    expected = "expected credits above 0 and at most 1000000000"
    return malformed_field(field, expected)
