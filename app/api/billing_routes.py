"""Routes of the native surface for a tenant's money: balance, ledger, usage."""

from datetime import datetime, timedelta
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends

from app.api.billing_schemas import BalanceOut, TransferOut, UsageItem, UsageOut
from app.api.callers import ALWAYS, BillingReader
from app.core import clock
from app.core.ids import find_id
from app.ledger.listing import TransferFilter, UsageBy, list_transfers, list_usage
from app.ledger.models import TransferKind
from app.ledger.queries import get_balance
from app.web.fields import Instant
from app.web.paging import LIMIT_DEFAULT, Page, cut_page, parse_cursor
from app.web.problems import documented
from app.web.query import CheckedRoute, Limit
from app.web.requests import malformed

USAGE_WINDOW = timedelta(days=30)
USAGE_WINDOW_MAX = timedelta(days=366)

router = APIRouter(prefix="/api/v1", tags=["billing"], route_class=CheckedRoute)


@router.get("/balance", responses=documented(*ALWAYS))
async def get_tenants_balance(caller: BillingReader) -> BalanceOut:
    """The tenant's balance and the part of it that is held for jobs."""
    return BalanceOut.of(await caller.read(lambda session: get_balance(session, tenant_id=caller.tenant_id)))


async def _job_id(job: str | None = None) -> UUID | None:
    found = None if job is None else find_id("job", job)
    if job is not None and found is None:
        raise malformed("query job", "expected the id of a job")
    return found


@router.get("/ledger", responses=documented(*ALWAYS))
async def list_ledger(
    caller: BillingReader,
    job_id: Annotated[UUID | None, Depends(_job_id)],
    kind: TransferKind | None = None,
    cursor: str | None = None,
    limit: Limit = LIMIT_DEFAULT,
) -> Page[TransferOut]:
    """The tenant's transfers, newest first; `kind` and `job` filter."""
    wanted = TransferFilter(caller.tenant_id, after=parse_cursor("trf", cursor), kind=kind, job_id=job_id)
    found = await caller.read(lambda session: list_transfers(session, wanted=wanted, limit=limit + 1))
    return cut_page([TransferOut.of(row) for row in found], limit=limit, cursor_of=lambda transfer: transfer.id)


class Window(NamedTuple):
    """A period from `since` (inclusive) to `until` (exclusive)."""

    since: datetime
    until: datetime


async def _window(since: Instant = None, until: Instant = None) -> Window:
    last = until or clock.now()
    try:
        first = since or last - USAGE_WINDOW
    except OverflowError:
        raise malformed("query until", "expected a later time, such as 2026-01-31T12:00:00Z") from None
    if first >= last:
        raise malformed("query since", "expected a time before `until`")
    if last - first > USAGE_WINDOW_MAX:
        raise malformed("query since", f"expected a time at most {USAGE_WINDOW_MAX.days} days before `until`")
    return Window(first, last)


@router.get("/usage", responses=documented(*ALWAYS), response_model_exclude_unset=True)
async def get_usage(
    caller: BillingReader, window: Annotated[Window, Depends(_window)], by: UsageBy = "model"
) -> UsageOut:
    """Jobs that ended and their charges, by model, key or day (UTC); by default of the last 30 days."""
    rows = await caller.read(
        lambda session: list_usage(session, tenant_id=caller.tenant_id, by=by, since=window.since, until=window.until)
    )
    return UsageOut(by=by, since=window.since, until=window.until, items=[UsageItem.of(by, row) for row in rows])
