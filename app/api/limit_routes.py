"""The route of the native surface for a tenant's limits."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from app.api.callers import AnyReader
from app.api.limit_schemas import LimitsOut
from app.core.errors import Malformed, StatementTimedOut, StoreUnavailable, TooManyReads, Unauthorized
from app.jobs.places import get_limits
from app.limits.rate_headers import rate_headers
from app.limits.rate_script import limits_of
from app.limits.rates import RateLimiter
from app.limits.refused import refused_bucket
from app.tenants.decide import Rate
from app.tenants.queries import key_rate
from app.web.problems import documented
from app.web.query import CheckedRoute

router = APIRouter(prefix="/api/v1", tags=["limits"], route_class=CheckedRoute)
REFUSALS = documented(Malformed, Unauthorized, StoreUnavailable, StatementTimedOut, TooManyReads)


async def _rates(request: Request) -> RateLimiter:
    rates: RateLimiter = request.app.state.rates
    return rates


@router.get("/limits", responses=REFUSALS)
async def get_tenants_limits(
    caller: AnyReader, rates: Annotated[RateLimiter, Depends(_rates)], response: Response
) -> LimitsOut:
    """The limits of the tenant and of this key, and what is used of them. Needs no scope."""
    who = caller.principal
    row = await caller.read(lambda session: get_limits(session, tenant_id=who.tenant_id, key_id=who.key_id))
    # read again, because the principal may be a few seconds old
    rate = Rate(row.rate_per_minute, row.burst)
    own = key_rate(rate, per_minute=row.key_rate_per_minute, burst=row.key_burst)
    refused = refused_bucket(who.tenant_id, rate, row.refused_per_minute)
    standings, (of_refused,) = await asyncio.gather(
        rates.look(limits_of(who.tenant_id, rate, who.key_id, own)), rates.look([refused])
    )
    response.headers.update(rate_headers(standings))
    return LimitsOut.of(row, standings, of_refused)
