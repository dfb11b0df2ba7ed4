"""Reads of the ledger. Each names its tenant."""

from uuid import UUID

from app.core.db import ReadSession, Row
from app.core.sql import SqlFolder

_SQL = SqlFolder(__file__)
EXPOSE_SECOND_STARTS_PART = _SQL.part("expose_second_starts")
LOTS_DUE_PART = _SQL.part("lots_due")
"""For statements of other rooms; each file says what it needs."""

TRANSFER_COLUMNS = "id, tenant_id, kind, amount, job_id, hold_id, reference, note, expires_at, created_at"
"""Of `transfers`, in a SELECT or after RETURNING."""

LOTS_DUE = "EXISTS (SELECT FROM lots WHERE expired_at IS NULL AND expires_at <= now())"
"""Is there credit whose time is over? A condition for any statement."""

_BALANCE = """
SELECT granted, held, posted, granted - posted - held AS available, overdraft FROM balances WHERE tenant_id = $1
"""


async def get_balance(session: ReadSession, *, tenant_id: UUID) -> Row:
    """(granted, held, posted, available, overdraft); every tenant has one."""
    row = await session.fetchrow(_BALANCE, tenant_id)
    assert row is not None
    return row
