"""Reads of the ledger. Each is for one tenant."""

from typing import NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder

_SQL = SqlFolder(__file__)
EXPOSE_SECOND_STARTS_PART = _SQL.part("expose_second_starts")
LOTS_DUE_PART = _SQL.part("lots_due")
FOLD_PART = _SQL.part("fold")
HOLDS_THAT_FIT_PART = _SQL.part("holds_that_fit")
"""Parts for statements of other rooms. The file of each part says what it needs."""


class BalanceRow(NamedTuple):
    """A tenant's balance in micro-credits. available: may be negative, by at most the overdraft."""

    granted: int
    held: int
    posted: int
    available: int
    overdraft: int


_FIND_BALANCE = _SQL.query("find_balance", BalanceRow)


async def get_balance(session: ReadSession, *, tenant_id: UUID) -> BalanceRow:
    """A tenant's balance; every tenant has one."""
    return await session.get_row(_FIND_BALANCE, tenant_id=tenant_id)
