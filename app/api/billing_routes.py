"""Routes of the native surface about money, as the tenant sees it: balance, ledger, usage."""

from datetime import datetime, timedelta
from typing import get_args

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.api.billing_schemas import BalanceOut, TransferPage, UsageOut, balance_body, transfer_item, usage_item
from app.api.routes import ALWAYS, authenticated, page_limit
from app.core import clock
from app.core.clock import rfc3339
from app.core.db import Row, patiently
from app.core.ids import find_id, show_id
from app.core.paging import cut_page, parse_cursor
from app.core.problems import documented
from app.core.query import CheckedRoute
from app.core.requests import checked_instant, malformed
from app.ledger.models import Kind
from app.ledger.queries import TransferFilter, UsageBy, get_balance, list_transfers, list_usage
from app.tenants.models import Scope

USAGE_WINDOW = timedelta(days=30)
USAGE_WINDOW_MAX = timedelta(days=366)

router = APIRouter(prefix="/api/v1", tags=["billing"], route_class=CheckedRoute)


@router.get(
    "/balance",
    response_class=Response,
    responses={200: {"model": BalanceOut}, **documented(*ALWAYS)},
)
async def get_tenants_balance(request: Request) -> Response:
    """What the tenant has, and what of it is held for jobs."""
    principal = await patiently(lambda: authenticated(request, Scope.BILLING_READ))

    async def read() -> Row:
        async with request.app.state.database.snapshot(principal.tenant_id) as session:
            return await get_balance(session, tenant_id=principal.tenant_id)

    return JSONResponse(balance_body(await patiently(read)))


@router.get(
    "/ledger",
    response_class=Response,
    responses={200: {"model": TransferPage}, **documented(*ALWAYS)},
)
async def list_ledger(
    request: Request,
    kind: str | None = None,
    job: str | None = None,
    cursor: str | None = None,
    limit: str | None = None,
) -> Response:
    """Every movement of the tenant's credits, newest first; `kind` and `job` filter."""
    principal = await patiently(lambda: authenticated(request, Scope.BILLING_READ))
    most = page_limit(limit)
    if kind is not None and kind not in set(Kind):
        raise malformed("query kind", f"expected one of {', '.join(Kind)}")
    job_id = None if job is None else find_id("job", job)
    if job is not None and job_id is None:
        raise malformed("query job", "expected the id of a job")
    wanted = TransferFilter(after=parse_cursor("trf", cursor), kind=kind, job_id=job_id)

    async def read() -> list[Row]:
        async with request.app.state.database.snapshot(principal.tenant_id) as session:
            return await list_transfers(session, tenant_id=principal.tenant_id, wanted=wanted, limit=most + 1)

    page = cut_page(await patiently(read), limit=most, cursor_of=lambda row: show_id("trf", row["id"]))
    return JSONResponse({"items": [transfer_item(row) for row in page.items], "next_cursor": page.next_cursor})


@router.get(
    "/usage",
    response_class=Response,
    responses={200: {"model": UsageOut}, **documented(*ALWAYS)},
)
async def get_usage(
    request: Request, by: str = "model", since: str | None = None, until: str | None = None
) -> Response:
    """Jobs that ended and what they were charged, by model, key or day of UTC; the last 30 days if not told otherwise."""
    principal = await patiently(lambda: authenticated(request, Scope.BILLING_READ))
    kinds: tuple[UsageBy, ...] = get_args(UsageBy)
    grouping = next((one for one in kinds if one == by), None)
    if grouping is None:
        raise malformed("query by", f"expected one of {', '.join(kinds)}")
    first, last = _window(since, until)

    async def read() -> list[Row]:
        async with request.app.state.database.snapshot(principal.tenant_id) as session:
            return await list_usage(session, tenant_id=principal.tenant_id, by=grouping, since=first, until=last)

    rows = await patiently(read)
    return JSONResponse(
        {
            "by": by,
            "since": rfc3339(first),
            "until": rfc3339(last),
            "items": [usage_item(by, row) for row in rows],
        }
    )


def _window(since: str | None, until: str | None) -> tuple[datetime, datetime]:
    try:
        last = clock.now() if until is None else checked_instant(until, "query until")
        first = last - USAGE_WINDOW if since is None else checked_instant(since, "query since")
    except OverflowError:
        raise malformed("query until", "expected an instant of our own times") from None
    if first >= last:
        raise malformed("query since", "expected an instant before `until`")
    if last - first > USAGE_WINDOW_MAX:
        raise malformed("query since", f"expected an instant at most {USAGE_WINDOW_MAX.days} days before `until`")
    return first, last
