"""The route of the native surface about limits, as the tenant sees them."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.admission.places import get_limits
from app.admission.rate_headers import rate_headers
from app.admission.rate_script import limits_of
from app.admission.refused import refused_bucket
from app.api.limit_schemas import LimitsOut, limits_body
from app.core.db import Row, patiently
from app.core.errors import Malformed, StatementTimedOut, StoreUnavailable, TooManyReads, Unauthorized
from app.core.problems import documented
from app.core.query import CheckedRoute
from app.tenants.auth import Principal
from app.tenants.decide import Rate
from app.tenants.queries import key_rate

router = APIRouter(prefix="/api/v1", tags=["limits"], route_class=CheckedRoute)


@router.get(
    "/limits",
    response_class=Response,
    responses={
        200: {"model": LimitsOut},
        **documented(Malformed, Unauthorized, StoreUnavailable, StatementTimedOut, TooManyReads),
    },
)
async def get_tenants_limits(request: Request) -> Response:
    """What the tenant, and this key of it, may do, and how far they have gone. Any key may ask."""
    state = request.app.state

    async def authenticate() -> Principal:
        principal: Principal = await state.keyring.authenticate(
            x_api_key=request.headers.get("x-api-key"), authorization=request.headers.get("authorization")
        )
        return principal

    principal = await patiently(authenticate)

    async def read() -> Row:
        async with state.database.snapshot(principal.tenant_id) as session:
            return await get_limits(session, tenant_id=principal.tenant_id, key_id=principal.key_id)

    row = await patiently(read)
    # as they are now: the principal may have been looked up a few seconds ago
    rate = Rate(row["rate_per_minute"], row["burst"])
    own = key_rate(rate, per_minute=row["key_rate_per_minute"], burst=row["key_burst"])
    refused = refused_bucket(principal.tenant_id, rate, row["refused_per_minute"])
    standings, (of_refused,) = await asyncio.gather(
        state.rates.look(limits_of(principal.tenant_id, rate, principal.key_id, own)), state.rates.look([refused])
    )
    return JSONResponse(limits_body(row, standings, of_refused), headers=rate_headers(standings))
