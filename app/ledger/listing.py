"""Lists of a tenant's transfers and usage, for the API. Each is for one tenant."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Date, cast, func, literal_column, select, tuple_

from app.core.database.select import equal, fetch, within
from app.core.database.session import ReadSession, Row
from app.ledger.models import TransferKind
from app.ledger.tables import transfers, usage_hours

UsageBy = Literal["model", "key", "day"]

_transfer, _hours = transfers.c, usage_hours.c
_DAY = cast(func.timezone(literal_column("'UTC'"), _hours.hour), Date)
_NAMES: dict[UsageBy, ColumnElement[Any]] = {"model": _hours.model, "key": _hours.key_id, "day": _DAY}


@dataclass(frozen=True, slots=True)
class TransferFilter:
    """Filter of a tenant's transfers; None does not filter. `after`: the last transfer of the previous page."""

    tenant_id: UUID
    after: UUID | None = None
    kind: TransferKind | None = None
    job_id: UUID | None = None


async def list_transfers(session: ReadSession, *, wanted: TransferFilter, limit: int) -> list[Row]:
    """A tenant's transfers, newest first."""
    found = (
        select(
            _transfer.id, _transfer.kind, _transfer.amount, _transfer.job_id, _transfer.reference, _transfer.note,
            _transfer.expires_at, _transfer.created_at,
        )
        .where(
            _transfer.tenant_id == wanted.tenant_id,
            *equal(_transfer.kind, wanted.kind),
            *equal(_transfer.job_id, wanted.job_id),
        )
        .order_by(_transfer.created_at.desc(), _transfer.id.desc())
        .limit(limit)
    )  # fmt: skip
    if wanted.after is not None:
        last = transfers.alias("last").c
        at = select(last.created_at).where(last.id == wanted.after, last.tenant_id == wanted.tenant_id)
        begins = func.coalesce(at.scalar_subquery(), literal_column("'infinity'::timestamptz"))
        found = found.where(tuple_(_transfer.created_at, _transfer.id) < tuple_(begins, wanted.after))
    return await fetch(session, found)


async def list_usage(
    session: ReadSession, *, tenant_id: UUID, by: UsageBy, since: datetime, until: datetime
) -> list[Row]:
    """Sums over jobs that ended in the hours from that of `since`, up to `until` (exclusive). Returns rows (name, completed,
    failed, canceled, charged_micro, run_seconds); name: the model, key id or UTC day."""
    name = _NAMES[by]
    counts = [func.sum(column).label(column.name) for column in (_hours.completed, _hours.failed, _hours.canceled)]
    return await fetch(
        session,
        select(
            name.label("name"),
            *counts,
            cast(func.sum(_hours.charged_micro), BigInteger).label("charged_micro"),
            func.sum(_hours.run_seconds).label("run_seconds"),
        )
        .where(
            _hours.tenant_id == tenant_id,
            *within(_hours.hour, func.date_trunc("hour", since, "UTC"), until),
        )
        .group_by(name)
        .order_by(name),
    )
