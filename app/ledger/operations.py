"""What operators do to balances: grant, adjust, let overdraw, budget."""

from datetime import datetime
from uuid import UUID

from app.core.credits import AMOUNT_MAX, show_credits
from app.core.db import Row, Session
from app.core.errors import Conflict, Malformed, NotFound, malformed_field
from app.core.ids import derived_id, new_id
from app.ledger.accounts import lock_accounts
from app.ledger.decide import Account, filled
from app.ledger.models import Kind, Period
from app.ledger.queries import TRANSFER_COLUMNS


class ReferenceTaken(Conflict):
    """409: there is a grant of that reference, with another amount."""

    code = "reference_taken"

    def __init__(self, amount_micro: int) -> None:
        super().__init__(f"there is a grant of this reference already, of {show_credits(amount_micro)} credits")


class OverdraftExceeded(Conflict):
    """409: the tenant would be further below nothing than it may."""

    code = "overdraft_exceeded"

    def __init__(self) -> None:
        super().__init__("the balance would fall below what the overdraft allows")


class AccountNotFound(NotFound):
    """404: no tenant of that id."""

    code = "tenant_not_found"

    def __init__(self) -> None:
        super().__init__("no such tenant")


_GRANT = f"""
WITH made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, reference, note, expires_at)
    VALUES ($1, $2, 'grant', $3, $4, $5, $6)
    RETURNING {TRANSFER_COLUMNS}
), lot AS (
    INSERT INTO lots (id, tenant_id, expires_at, amount, left_micro)
    SELECT $1, $2, $6, $3, $7 WHERE $6::timestamptz IS NOT NULL
), moved AS (
    UPDATE balances SET
        granted = granted + $3, expiring = expiring + CASE WHEN $6::timestamptz IS NULL THEN 0 ELSE $7::bigint END
    WHERE tenant_id = $2
)
SELECT * FROM made
"""  # noqa: S608

_ADJUST = f"""
WITH made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, note) VALUES ($1, $2, 'adjust', $3, $4)
    RETURNING {TRANSFER_COLUMNS}
), moved AS (
    UPDATE balances SET granted = granted + $3, expiring = least(expiring, greatest(granted + $3 - posted - held, 0))
    WHERE tenant_id = $2
)
SELECT * FROM made
"""  # noqa: S608

# What is taken from a balance is taken from credit that never expires; only then from the lots, the last to expire first.
_SHRINK_LOTS = """
WITH free AS (
    SELECT id, left_micro, sum(left_micro) OVER (ORDER BY expires_at, id) AS up_to
    FROM lots WHERE tenant_id = $1 AND left_micro > 0
)
UPDATE lots SET left_micro = greatest(0, least(lots.left_micro, $2 - (free.up_to - free.left_micro)))
FROM free WHERE lots.id = free.id AND free.up_to > $2
"""

# A charge that turned out too high.
_CORRECT = f"""
WITH made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, job_id, note) VALUES ($1, $2, 'adjust', $3, $4, $5)
    RETURNING {TRANSFER_COLUMNS}
), moved AS (
    UPDATE balances SET posted = posted - $3 WHERE tenant_id = $2
)
SELECT * FROM made
"""  # noqa: S608

_BUDGET = """
INSERT INTO budgets (subject_id, period, tenant_id, limit_micro, starts_on, spent_micro)
SELECT $1, $2, $3, $4, began.on_day, coalesce((
    SELECT sum(CASE resolution.kind WHEN 'post' THEN resolution.amount WHEN 'release' THEN 0 ELSE hold.amount END)::bigint
    FROM transfers AS hold
    LEFT JOIN transfers AS resolution ON resolution.hold_id = hold.id AND resolution.kind IN ('post', 'release')
    WHERE hold.tenant_id = $3 AND hold.created_at >= began.on_day AT TIME ZONE 'UTC' AND hold.kind = 'hold'
        AND ($1 = $3 OR hold.key_id = $1)
), 0)
FROM (SELECT date_trunc($2, now() AT TIME ZONE 'UTC')::date AS on_day) AS began
ON CONFLICT (subject_id, period) DO UPDATE SET limit_micro = excluded.limit_micro, alerted_percent = 0
"""


async def grant(
    session: Session,
    *,
    tenant_id: UUID,
    amount_micro: int,
    reference: str,
    note: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[Row, bool]:
    """Credits in; gives the transfer, and whether it is new: the same reference and amount again are the same grant.

    The expiry is no part of what makes a grant the same: callers compute it from the present time, so that it differs
    when a call is repeated. The grant keeps the expiry that it was made with.
    Raises ReferenceTaken where the amount is another one, AccountNotFound, Malformed.
    """
    _checked_amount(amount_micro)
    account = await _locked(session, tenant_id=tenant_id)
    there = await session.fetchrow(
        f"SELECT {TRANSFER_COLUMNS} FROM transfers WHERE tenant_id = $1 AND reference = $2",  # noqa: S608
        tenant_id,
        reference,
    )
    if there is not None:
        if there["amount"] != amount_micro:
            raise ReferenceTaken(there["amount"])
        return there, False
    left = filled(amount_micro, account.balance.available)
    row = await session.fetchrow(
        _GRANT, derived_id(tenant_id, f"{Kind.GRANT} {reference}"), tenant_id, amount_micro, reference, note,
        expires_at, left,
    )  # fmt: skip
    assert row is not None
    return row, True


async def adjust(session: Session, *, tenant_id: UUID, amount_micro: int, note: str) -> Row:
    """Correct a balance by what the tenant gains (below nothing: loses); gives the transfer.

    Raises OverdraftExceeded, AccountNotFound, Malformed. After OverdraftExceeded nothing has been written.
    """
    _checked_amount(abs(amount_micro))
    account = await _locked(session, tenant_id=tenant_id)
    balance = account.balance
    if balance.spendable + amount_micro < 0:
        raise OverdraftExceeded
    if amount_micro < 0 and balance.expiring:
        await session.execute(_SHRINK_LOTS, tenant_id, max(0, balance.available + amount_micro))
    row = await session.fetchrow(_ADJUST, new_id(), tenant_id, amount_micro, note)
    assert row is not None
    return row


async def correct_charge(
    session: Session, *, tenant_id: UUID, job_id: UUID, amount_micro: int, note: str
) -> Row | None:
    """Give back what a job was charged too much, once; gives the transfer, or None where it was done before.

    The caller lowers `charged_micro` of the job in the same transaction.
    """
    await _locked(session, tenant_id=tenant_id)
    transfer_id = derived_id(job_id, Kind.ADJUST)
    if await session.fetchval("SELECT true FROM transfers WHERE id = $1", transfer_id):
        return None
    return await session.fetchrow(_CORRECT, transfer_id, tenant_id, amount_micro, job_id, note)


async def set_overdraft(session: Session, *, tenant_id: UUID, overdraft_micro: int) -> None:
    """How far below nothing the tenant may go. Raises OverdraftExceeded where it is further down already."""
    if not 0 <= overdraft_micro <= AMOUNT_MAX:
        raise _out_of_range("overdraft")
    account = await _locked(session, tenant_id=tenant_id)
    if account.balance.available < -overdraft_micro:
        raise OverdraftExceeded
    await session.execute("UPDATE balances SET overdraft = $2 WHERE tenant_id = $1", tenant_id, overdraft_micro)


async def set_budget(
    session: Session, *, tenant_id: UUID, subject_id: UUID, period: Period, limit_micro: int | None
) -> None:
    """What a tenant, or a key of its, may spend in a day or month of UTC; None lifts it. What was spent in the running
    period counts."""
    await _locked(session, tenant_id=tenant_id)
    if limit_micro is None:
        await session.execute("DELETE FROM budgets WHERE subject_id = $1 AND period = $2", subject_id, period)
        return
    if not 0 <= limit_micro <= AMOUNT_MAX:
        raise _out_of_range(f"{'daily' if period is Period.DAY else 'monthly'}_credits")
    await session.execute(_BUDGET, subject_id, period, tenant_id, limit_micro)


async def _locked(session: Session, *, tenant_id: UUID) -> Account:
    accounts = await lock_accounts(session, tenant_ids=[tenant_id])
    if tenant_id not in accounts:
        raise AccountNotFound
    return accounts[tenant_id]


def _checked_amount(amount_micro: int) -> None:
    if not 0 < amount_micro <= AMOUNT_MAX:
        raise _out_of_range("amount")


def _out_of_range(field: str) -> Malformed:
    expected = "expected credits above nothing, and at most a billion"
    return malformed_field(field, expected)
