"""Reads of the ledger. Each names its tenant."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from app.core.db import ReadSession, Row

TRANSFER_COLUMNS = "id, tenant_id, kind, amount, job_id, hold_id, reference, note, expires_at, created_at"
"""Of `transfers`, in a SELECT or after RETURNING."""

LOTS_DUE = "EXISTS (SELECT FROM lots WHERE expired_at IS NULL AND expires_at <= now())"
"""Is there credit whose time is over? A condition for any statement."""

UsageBy = Literal["model", "key", "day"]

_BALANCE = """
SELECT granted, held, posted, granted - posted - held AS available, overdraft FROM balances WHERE tenant_id = $1
"""

# A tenant's transfers, newest first; of one job, where that is asked for, by another index.
_LIST = f"""
SELECT {TRANSFER_COLUMNS} FROM transfers
WHERE tenant_id = $1 AND {{of_job}}
    AND (created_at, id) < (
        coalesce((SELECT created_at FROM transfers WHERE id = $2 AND tenant_id = $1), 'infinity'),
        coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
    AND ($3::text IS NULL OR kind = $3)
ORDER BY created_at DESC, id DESC
LIMIT $4
"""  # noqa: S608

_USAGE = """
SELECT
    {what} AS name, sum(completed) AS completed, sum(failed) AS failed, sum(canceled) AS canceled,
    sum(charged_micro)::bigint AS charged_micro, sum(run_seconds) AS run_seconds
FROM usage_hours
WHERE tenant_id = $1 AND hour >= date_trunc('hour', $2::timestamptz, 'UTC') AND hour < $3
GROUP BY 1 ORDER BY 1
"""
_WHAT: dict[UsageBy, str] = {"model": "model", "key": "key_id", "day": "(hour AT TIME ZONE 'UTC')::date"}


async def get_balance(session: ReadSession, *, tenant_id: UUID) -> Row:
    """(granted, held, posted, available, overdraft); every tenant has one."""
    row = await session.fetchrow(_BALANCE, tenant_id)
    assert row is not None
    return row


@dataclass(frozen=True, slots=True)
class TransferFilter:
    """Which of a tenant's transfers are wanted; None is no bound. `after`: the last one of the page before."""

    after: UUID | None
    kind: str | None
    job_id: UUID | None


async def list_transfers(session: ReadSession, *, tenant_id: UUID, wanted: TransferFilter, limit: int) -> list[Row]:
    """A tenant's transfers, newest first."""
    if wanted.job_id is None:
        return await session.fetch(_LIST.format(of_job="true"), tenant_id, wanted.after, wanted.kind, limit)
    sql = _LIST.format(of_job="job_id = $5")
    return await session.fetch(sql, tenant_id, wanted.after, wanted.kind, limit, wanted.job_id)


async def list_usage(
    session: ReadSession, *, tenant_id: UUID, by: UsageBy, since: datetime, until: datetime
) -> list[Row]:
    """Jobs that ended in the hours from `since`'s on, before `until`, summed up: (name, completed, failed, canceled,
    charged_micro, run_seconds)."""
    return await session.fetch(_USAGE.format(what=_WHAT[by]), tenant_id, since, until)
